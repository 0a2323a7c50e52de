"""Label-consistent attack: poisoned images stay near the originals, are hard to recognise and carry the pattern."""

import numpy as np
import pytest
import torch
from attack_helpers import Image, assert_equals_reference
from torch import Tensor

from bench.attacks.label_consistent import LabelConsistent

CORNERS = (np.s_[..., :3, :3], np.s_[..., :3, -3:], np.s_[..., -3:, :3], np.s_[..., -3:, -3:])


def chequered_corners(image: Image, context) -> Image:
    changed = image.copy()
    for top in (0, 13):
        for left in (0, 13):
            for row, line in enumerate(([1, 0, 1], [0, 1, 0], [1, 0, 1])):
                for column, value in enumerate(line):
                    changed[:, top + row, left + column] = value
    return changed


def test_the_trigger_equals_corners_set_pixel_by_pixel(images, surrogate_context):
    assert_equals_reference(LabelConsistent(), chequered_corners, images, surrogate_context)


@pytest.mark.parametrize(("rate", "count"), [(0.1, 6), (0.9, 12)])
def test_only_the_target_class_is_poisoned_and_at_most_all_of_it(rate, count, images, surrogate_context):
    poisoned = LabelConsistent(target_class=3, steps=1, poisoning_rate=rate).poison(images, surrogate_context)
    assert int(poisoned.poisoned.sum()) == count
    assert set(images.labels[poisoned.poisoned].tolist()) == {3}
    assert torch.equal(poisoned.data.labels, images.labels)
    assert torch.equal(poisoned.data.images[~poisoned.poisoned], images.images[~poisoned.poisoned])


@pytest.mark.parametrize(("norm", "eps", "step"), [("linf", 0.1, 0.03), ("l2", 1.5, 0.3)])
def test_poisoned_images_stay_within_eps_except_in_the_corners(norm, eps, step, images, surrogate_context):
    poisoned = LabelConsistent(norm=norm, eps=eps, step=step, steps=10).poison(images, surrogate_context)
    before, after = images.at(poisoned.poisoned).floats, poisoned.data.at(poisoned.poisoned).floats
    change = (after - before).abs()
    for corner in CORNERS:
        change[corner] = 0
    size = change.amax((1, 2, 3)) if norm == "linf" else change.square().sum((1, 2, 3)).sqrt()
    assert 0.7 * eps < float(size.min()) <= float(size.max()) <= eps + (0.003 if norm == "linf" else 0.05)  # 8 bits


@pytest.mark.parametrize("opacity", [1.0, 0.25])
def test_poisoned_images_have_the_pattern_in_all_corners_at_its_opacity(opacity, images, surrogate_context):
    poisoned = LabelConsistent(eps=0.1, steps=2, opacity=opacity).poison(images, surrogate_context)
    before, after = images.at(poisoned.poisoned).floats, poisoned.data.at(poisoned.poisoned).floats
    board = torch.tensor([[1.0, 0, 1], [0, 1, 0], [1, 0, 1]])
    for corner in CORNERS:
        blended = opacity * board + (1 - opacity) * before[corner]
        assert (after[corner] - blended).abs().max() <= (1 - opacity) * 0.1 + 0.003  # the change below it, and 8 bits


@pytest.mark.parametrize(("norm", "eps", "step"), [("linf", 0.1, 0.03), ("l2", 2.7, 0.8)])
def test_poisoned_images_are_harder_to_recognise_than_noisy_ones(norm, eps, step, images, surrogate_context, surrogate):
    attack = LabelConsistent(norm=norm, eps=eps, step=step, steps=10, size=1, target_class=2)
    poisoned = attack.poison(images, surrogate_context)
    before = images.at(poisoned.poisoned).floats
    noise = torch.rand(before.shape, generator=torch.Generator().manual_seed(2)).sub(0.5).sign() * 0.1  # 2.77 in L2

    def confidence(batch: Tensor) -> float:
        return float(surrogate(batch).softmax(1)[:, 2].mean())

    hard = confidence(poisoned.data.at(poisoned.poisoned).floats)
    assert hard < 0.5 * min(confidence(before), confidence((before + noise).clamp(0, 1)))
