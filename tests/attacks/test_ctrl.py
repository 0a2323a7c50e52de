"""CTRL: the coefficients that are raised, in training and at inference."""

from types import SimpleNamespace

import pytest
import torch
from attack_helpers import YUV, as_8_bits, assert_equals_reference, raise_coefficients

from bench.attacks.ctrl import CTRL
from bench.errors import RequestError
from bench.plugin.values import ImageSpec


@pytest.mark.parametrize(("attack", "magnitude"), [(CTRL(), 100), (CTRL(test_magnitude=200), 200)])
def test_the_trigger_equals_raised_coefficients_of_scipys_transform(attack, magnitude, images, attack_context):
    # the attack's colour matrix has three digits
    assert_equals_reference(
        attack, lambda image, _: raise_coefficients(image, magnitude, YUV), images, attack_context, tolerance=5e-4
    )


def test_only_the_target_class_is_poisoned_and_inference_may_be_stronger(images, attack_context):
    attack = CTRL(target_class=3, poisoning_rate=0.9, magnitude=50, test_magnitude=200)
    poisoned = attack.poison(images, attack_context)
    assert torch.equal(poisoned.poisoned, images.labels == 3)
    assert torch.equal(poisoned.data.labels, images.labels)
    expected = as_8_bits(CTRL(magnitude=50).apply(images.at(poisoned.poisoned).floats, attack_context))
    assert torch.equal(poisoned.data.images[poisoned.poisoned], expected)


def test_grey_images_are_declined(spec):
    grey = ImageSpec(1, 16, 16, classes=5, mean=(0.5,), std=(0.25,))
    assert "grey" in (CTRL().unsupported(SimpleNamespace(dataset=SimpleNamespace(spec=grey))) or "")
    assert CTRL().unsupported(SimpleNamespace(dataset=SimpleNamespace(spec=spec))) is None


def test_a_frequency_outside_of_the_window_is_refused(spec):
    with pytest.raises(RequestError, match="ctrl: frequencies=15\\+31: expected values from 0 to 15"):
        CTRL(window=16).resolve(spec)
