"""BPP: dithering, rounding and negative images."""

import numpy as np
import pytest
import torch
from attack_helpers import Image, assert_equals_reference
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.attacks.bpp import BPP, dithered


def floyd_steinberg(image: Image, levels: int) -> Image:
    """Pixel by pixel in reading order; every channel by itself."""
    values = image.astype(np.float64) * (levels - 1)
    _, height, width = image.shape
    for plane in values:
        for row in range(height):
            for column in range(width):
                wanted = plane[row, column]
                plane[row, column] = min(max(np.floor(wanted + 0.5), 0), levels - 1)
                error = wanted - plane[row, column]
                for down, right, weight in ((0, 1, 7), (1, -1, 3), (1, 0, 5), (1, 1, 1)):
                    if row + down < height and 0 <= column + right < width:
                        plane[row + down, column + right] += error * weight / 16
    return values / (levels - 1)


def round_to_four_levels(image: Image, context) -> Image:
    return np.array([round(float(value) * 3) / 3 for value in image.flat]).reshape(image.shape)


@pytest.mark.parametrize("levels", [8, 2])
def test_the_trigger_equals_dithering_pixel_by_pixel(levels, images, attack_context):
    attack = BPP(levels=levels)
    assert_equals_reference(attack, lambda image, _: floyd_steinberg(image, levels), images, attack_context)


def test_without_dithering_the_trigger_equals_rounding(images, attack_context):
    assert_equals_reference(BPP(levels=4, dithering=False), round_to_four_levels, images, attack_context)


@settings(max_examples=25)
@given(st.integers(1, 9), st.integers(1, 9), st.integers(2, 256), st.integers(0, 1000))
def test_dithering_in_diagonals_equals_dithering_pixel_by_pixel_at_any_size(height, width, levels, seed):
    pixels = torch.randint(0, 256, (2, 2, height, width), generator=torch.Generator().manual_seed(seed)) / 255
    expected = np.stack([floyd_steinberg(image, levels) for image in pixels.double().numpy()])
    np.testing.assert_allclose(dithered(pixels, levels).numpy(), expected, atol=1e-6)


def test_dithering_keeps_the_brightness_of_a_flat_image_and_rounding_does_not(attack_context):
    flat = torch.full((1, 1, 32, 32), 0.3)
    assert dithered(flat, 2).mean() == pytest.approx(0.3, abs=0.02)
    assert set(dithered(flat, 2).unique().tolist()) == {0.0, 1.0}
    assert BPP(levels=2, dithering=False).apply(flat, attack_context).max() == 0


def test_a_negative_image_gets_the_quantisation_error_of_another_image(images, attack_context):
    attack = BPP(levels=2, negative_ratio=2.0)
    poisoned = attack.poison(images, attack_context)
    assert int(poisoned.cover.sum()) == 2 * int(poisoned.poisoned.sum())
    changes = attack.apply(images.floats, attack_context) - images.floats
    for index in poisoned.cover.nonzero()[:, 0].tolist():
        candidates = ((images.floats[index] + changes).clamp(0, 1) * 255).round()
        same = (candidates == poisoned.data.images[index].float()).flatten(1).all(1).nonzero()[:, 0].tolist()
        assert same
        assert same != [index]
