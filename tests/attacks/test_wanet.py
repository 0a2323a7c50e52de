"""WaNet: the warping, and cover images that are warped otherwise."""

import math

import numpy as np
import torch
from attack_helpers import Image, as_8_bits, assert_equals_reference, with_learned

from bench.attacks.wanet import WaNet


def warp(image: Image, context) -> Image:
    """Bilinear sampling by hand at the field's coordinates; outside of the image all is black."""
    field = context.learned["field"][0].numpy()
    _, height, width = image.shape
    warped = np.zeros_like(image)
    for row in range(height):
        for column in range(width):
            x, y = (field[row, column] + 1) / 2 * (np.array([width, height]) - 1)
            for r in (math.floor(y), math.floor(y) + 1):
                for c in (math.floor(x), math.floor(x) + 1):
                    if 0 <= r < height and 0 <= c < width:
                        warped[:, row, column] += image[:, r, c] * (1 - abs(y - r)) * (1 - abs(x - c))
    return warped


def test_the_trigger_equals_bilinear_sampling_by_hand(images, attack_context):
    attack = WaNet()
    assert_equals_reference(attack, warp, images, with_learned(attack, images, attack_context), tolerance=2e-5)


def test_cover_images_are_warped_otherwise_than_by_the_trigger(images, attack_context):
    attack = WaNet()
    context = with_learned(attack, images, attack_context)
    poisoned = attack.poison(images, context)
    assert int(poisoned.cover.sum()) == 2 * int(poisoned.poisoned.sum())
    assert not bool((poisoned.cover & poisoned.poisoned).any())
    as_trigger = as_8_bits(attack.apply(images.at(poisoned.cover).floats, context)).float()
    changed = poisoned.data.images[poisoned.cover].float()
    assert not torch.equal(changed, images.images[poisoned.cover].float())
    assert (changed - as_trigger).abs().mean() > 1
