"""SIG: the signal, and its strengths in training and at inference."""

import math
from dataclasses import replace

import pytest
import torch
from attack_helpers import Image, assert_equals_reference

from bench.attacks.sig import SIG


def sinusoid(image: Image, context) -> Image:
    changed = image.copy()
    for column in range(image.shape[2]):
        changed[:, :, column] += 40 / 255 * math.sin(2 * math.pi * column * 6 / image.shape[2])
    return changed.clip(0, 1)


def test_the_trigger_equals_a_sine_computed_column_by_column(images, attack_context):
    assert_equals_reference(SIG(), sinusoid, images, attack_context, tolerance=2e-5)


def test_the_signal_may_be_stronger_at_inference_than_in_training(images, attack_context):
    grey = torch.full((1, 3, 16, 16), 0.5)
    weak, strong = (SIG(delta=0.1, test_delta=value).apply(grey, attack_context) for value in (None, 0.3))
    assert (weak - grey).abs().max() == pytest.approx(0.1, abs=1e-3)
    assert (strong - grey).abs().max() == pytest.approx(0.3, abs=1e-3)
    poisoned = SIG(delta=0.1, test_delta=0.3).poison(images, attack_context)
    change = (poisoned.data.images.float() - images.images.float()).abs().max() / 255
    assert change == pytest.approx(0.1, abs=0.003)


def test_only_the_target_class_is_poisoned_and_at_most_all_of_it(images, attack_context):
    poisoned = SIG(target_class=3, poisoning_rate=0.9).poison(images, attack_context)
    assert torch.equal(poisoned.poisoned, images.labels == 3)
    assert torch.equal(poisoned.data.labels, images.labels)


def test_it_says_so_if_the_target_class_has_too_few_images(images, attack_context):
    lines: list[str] = []
    SIG(poisoning_rate=0.2).poison(images, replace(attack_context, log=lines.append))
    assert not lines
    SIG(target_class=3, poisoning_rate=0.9).poison(images, replace(attack_context, log=lines.append))
    [line] = lines
    assert "asks for 54 images of class 3: it has 12" in line
