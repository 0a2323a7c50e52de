"""Distances between clean and triggered images, against direct computations."""

import math

import numpy as np
import pytest
import torch

from bench.cell.stealth import stealth


def pair(size: int = 16, channels: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    clean = torch.rand(5, channels, size, size, generator=generator) * 0.5
    triggered = clean.clone()
    triggered[:, :, -2:, -2:] += 0.25
    return clean, triggered


def test_norms_and_psnr_equal_those_worked_out_by_hand():
    distances = stealth([pair()])
    assert distances["l0"] == 4
    assert distances["l2"] == pytest.approx(math.sqrt(4 * 3) * 0.25, rel=1e-5)
    assert distances["linf"] == pytest.approx(0.25)
    mean_squared_error = 4 * 3 * 0.25**2 / (3 * 16 * 16)
    assert distances["psnr"] == pytest.approx(10 * math.log10(1 / mean_squared_error), rel=1e-5)


def test_a_pixel_counts_once_whatever_the_number_of_its_channels():
    clean, _ = pair()
    triggered = clean.clone()
    triggered[:, 0, 3, 3] += 0.1
    assert stealth([(clean, triggered)])["l0"] == 1


def naive_ssim(one: np.ndarray, other: np.ndarray) -> float:
    """Mean SSIM of one channel where the 11x11 Gaussian window fits, by loops."""
    axis = np.exp(-0.5 * (np.arange(-5, 6) / 1.5) ** 2)
    window = np.outer(axis, axis) / np.outer(axis, axis).sum()
    values = []
    for row in range(5, one.shape[0] - 5):
        for column in range(5, one.shape[1] - 5):
            a, b = (image[row - 5 : row + 6, column - 5 : column + 6] for image in (one, other))
            mean_a, mean_b = (window * a).sum(), (window * b).sum()
            var_a, var_b = (window * (a - mean_a) ** 2).sum(), (window * (b - mean_b) ** 2).sum()
            cov = (window * (a - mean_a) * (b - mean_b)).sum()
            top = (2 * mean_a * mean_b + 0.01**2) * (2 * cov + 0.03**2)
            values.append(top / ((mean_a**2 + mean_b**2 + 0.01**2) * (var_a + var_b + 0.03**2)))
    return float(np.mean(values))


def test_ssim_equals_its_naive_reference():
    clean, triggered = pair()
    expected = np.mean(
        [
            naive_ssim(c, t)
            for a, b in zip(clean.numpy(), triggered.numpy(), strict=True)
            for c, t in zip(a, b, strict=True)
        ]
    )
    assert stealth([(clean, triggered)])["ssim"] == pytest.approx(float(expected), abs=1e-5)


@pytest.mark.parametrize("size", [4, 8, 12])
def test_small_images_have_an_ssim_or_none(size):
    assert math.isnan(stealth([pair(size, 1)])["ssim"]) == (size < 7)


def test_unchanged_images_and_no_images_have_defined_distances():
    clean, _ = pair()
    same = stealth([(clean, clean)])
    assert math.isnan(same["psnr"])
    assert same["ssim"] == pytest.approx(1)
    assert same["l0"] == same["linf"] == 0
    assert all(math.isnan(value) for value in stealth([(clean[:0], clean[:0])]).values())
