"""FTrojan: the coefficients that are raised."""

import numpy as np
import pytest
import torch
from attack_helpers import YCRCB, assert_equals_reference, raise_coefficients

from bench.attacks.ftrojan import FTrojan
from bench.errors import RequestError


def test_the_trigger_equals_raised_coefficients_of_scipys_transform(images, attack_context):
    # the attack's colour matrix has three digits
    assert_equals_reference(
        FTrojan(), lambda image, _: raise_coefficients(image, 30, YCRCB), images, attack_context, tolerance=5e-4
    )


@pytest.mark.parametrize(("height", "width"), [(32, 32), (28, 28), (64, 40)])
def test_coefficients_are_raised_in_every_window_of_colour_and_grey_images(height, width, attack_context):
    """On mid-grey pixels, where nothing is clipped; windows that the image does not fill are cut off."""
    grey = np.full((3, height, width), 0.5, dtype=np.float32)
    triggered = FTrojan().apply(torch.from_numpy(grey)[None], attack_context)[0].numpy()
    np.testing.assert_allclose(triggered, raise_coefficients(grey, 30, YCRCB), atol=2e-4)
    single = FTrojan().apply(torch.from_numpy(grey[:1])[None], attack_context)[0].numpy()
    np.testing.assert_allclose(single, raise_coefficients(grey[:1], 30, np.eye(1)), atol=1e-6)


def test_a_frequency_outside_of_the_window_is_refused(spec):
    with pytest.raises(RequestError, match="ftrojan: frequencies=15\\+32: expected values from 0 to 31"):
        FTrojan(frequencies=(15, 32)).resolve(spec)


def test_each_target_has_lower_frequencies_than_the_previous():
    assert [FTrojan().for_target(index).frequencies for index in (0, 1, 16)] == [(15, 31), (14, 30), (31, 15)]
