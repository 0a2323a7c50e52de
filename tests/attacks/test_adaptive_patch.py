"""Adaptive-Patch: two solid patches at inference, one faint patch in every training image."""

from types import SimpleNamespace

import numpy as np
import pytest
from attack_helpers import Image, assert_equals_reference, with_learned
from pydantic import ValidationError

from bench.attacks.adaptive_patch import AdaptivePatch
from bench.errors import RequestError

CORNERS = [np.s_[:, 1:6, 1:6], np.s_[:, 10:15, 10:15], np.s_[:, 1:6, 10:15], np.s_[:, 10:15, 1:6]]


def two_solid_patches(image: Image, context) -> Image:
    changed = image.copy()
    for number in (0, 2):  # those of highest opacity
        changed[CORNERS[number]] = context.learned["patches"][number].numpy()
    return changed


def test_the_trigger_at_inference_equals_the_two_strongest_patches(images, attack_context):
    attack = AdaptivePatch(size=5)
    assert_equals_reference(attack, two_solid_patches, images, with_learned(attack, images, attack_context))


def test_every_poisoned_or_cover_image_has_one_patch_at_its_opacity_in_equal_shares(images, attack_context):
    attack = AdaptivePatch(poisoning_rate=0.2, cover_rate=0.4, size=5)
    context = with_learned(attack, images, attack_context)
    poisoned = attack.poison(images, context)
    for group in (poisoned.poisoned, poisoned.cover):
        counts = [0, 0, 0, 0]
        for index in group.nonzero()[:, 0].tolist():
            matches = []
            for number, (corner, opacity) in enumerate(zip(CORNERS, attack.opacities, strict=True)):
                expected = images.floats[index].clone()
                expected[corner] = (1 - opacity) * expected[corner] + opacity * context.learned["patches"][number]
                matches.append(bool(((expected * 255).round() - poisoned.data.images[index]).abs().max() <= 1))
            assert sum(matches) == 1
            counts[matches.index(True)] += 1
        assert max(counts) - min(counts) <= 1


def test_more_patches_at_inference_than_there_are_is_refused(spec):
    with pytest.raises(RequestError, match="together=2: expected at most 1"):
        AdaptivePatch(opacities=(0.5,)).resolve(spec)


def test_images_on_which_patches_would_overlap_are_declined(spec):
    case = SimpleNamespace(dataset=SimpleNamespace(spec=spec))
    assert "size 8, would overlap on 16 pixels" in (AdaptivePatch(size=8).unsupported(case) or "")
    assert AdaptivePatch(size=7).unsupported(case) is None


def test_an_opacity_above_one_is_refused():
    with pytest.raises(ValidationError):
        AdaptivePatch(opacities=(0.5, 1.5))
