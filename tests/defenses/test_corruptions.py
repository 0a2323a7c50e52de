"""TeCo's corruptions of images against scipy, and their severities."""

import itertools
import math

import numpy as np
import pytest
import scipy.fft
import scipy.ndimage
import torch
import torch.nn.functional as F

from bench.defenses._teco_corruptions import SEVERITIES, blurred, corruptions, disc, displaced, jpeg, streak, zoomed


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 20, 33)])
def test_corruptions_keep_shape_and_range_and_grow_with_severity(shape: tuple[int, int, int]) -> None:
    images = torch.rand(6, *shape[:1], 5, 5, generator=generator())
    images = F.interpolate(images, shape[1:], mode="bicubic").clamp(0, 1)
    ways = corruptions(shape, generator(1))
    assert len(ways) == 12
    for name, corrupt in ways.items():
        results = [corrupt(images, severity) for severity in range(1, SEVERITIES + 1)]
        for result in results:
            assert result.shape == images.shape, name
            assert 0 <= float(result.min()) <= float(result.max()) <= 1, name
        change = [float((result - images).abs().mean()) for result in results]
        assert change[0] > 0.001, name
        assert all(later > 0.8 * earlier for earlier, later in itertools.pairwise(change)), (name, change)
        assert change[-1] > 1.2 * change[0], (name, change)
        torch.testing.assert_close(corrupt(images[2:3], 3), corrupt(images, 3)[2:3])


def test_jpeg_rounds_the_cosine_transform_of_blocks() -> None:
    images = torch.rand(2, 1, 16, 24, generator=generator(), dtype=torch.float64)
    row, column = np.mgrid[:8, :8]
    step = 16 / 255 * (1 + (row + column) / 2) * 50 / 10
    found = jpeg(images, 10)
    for image, result in zip(images[:, 0].numpy(), found[:, 0].numpy(), strict=True):
        for top in range(0, 16, 8):
            for left in range(0, 24, 8):
                block = scipy.fft.dctn(image[top : top + 8, left : left + 8] - 0.5, norm="ortho")
                expected = scipy.fft.idctn(np.round(block / step) * step, norm="ortho") + 0.5
                np.testing.assert_allclose(result[top : top + 8, left : left + 8], expected, atol=1e-5)
    # below a rounding step at the highest quality, and with sides that are no multiple of eight
    odd = torch.rand(1, 3, 13, 10, generator=generator())
    torch.testing.assert_close(jpeg(odd, 10**6), odd, atol=1e-3, rtol=0)


def test_blurs_are_convolutions() -> None:
    images = torch.rand(2, 3, 15, 18, generator=generator())
    for kernel in (disc(2.3, images), streak(2.6, images)):
        assert float(kernel.sum()) == pytest.approx(1)
        expected = scipy.ndimage.correlate(images.numpy(), kernel.numpy()[None, None], mode="nearest")
        np.testing.assert_allclose(blurred(images, kernel), expected, atol=1e-5)
    assert disc(2.3, images)[0, 0] == 0
    assert float(disc(2.3, images).gt(0).sum()) == pytest.approx(math.pi * 2.8**2, rel=0.2)


def test_displacement_and_zoom_sample_the_image_elsewhere() -> None:
    images = torch.rand(2, 1, 10, 20, generator=generator())
    shift = torch.zeros(2, 10, 20)
    shift[0], shift[1] = 3 / 20, -1 / 10  # three pixels from the right, one from above
    torch.testing.assert_close(displaced(images, shift)[:, :, 1:, :-3], images[:, :, :-1, 3:], atol=1e-5, rtol=0)
    torch.testing.assert_close(zoomed(images, 1.0), images, atol=1e-5, rtol=0)
    point = torch.zeros(1, 1, 21, 21)
    point[0, 0, 10, 10] = point[0, 0, 10, 14] = 1
    far = zoomed(point, 1.5)[0, 0, 10]
    assert far[10] > 0.9
    assert far[:10].sum() < 0.3
    assert (far[13:18] > 0.05).sum() >= 3  # smeared away from the centre
    assert far[13] == 0
