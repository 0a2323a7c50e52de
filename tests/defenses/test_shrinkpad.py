"""ShrinkPad: where a shrunk image lies, and how its position is drawn."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from planted import context, row_task
from torch import Tensor, nn

from bench.datasets.mnist5k import MNIST5k
from bench.defenses.shrinkpad import ShrinkPad, hashed_corners, shrunk
from bench.plugin import Known, RequestError

TASK = row_task()


class Corner(nn.Module):
    """Class 1 where the last pixel is brighter than 0.5."""

    def forward(self, images: Tensor) -> Tensor:
        corner = images[:, 0, -1, -1]
        return torch.stack((torch.full_like(corner, 0.5), corner), 1)


def test_a_trigger_is_moved_away_without_any_reference_image() -> None:
    images = TASK.triggered(TASK.draw(200, seed=1).floats)
    assert Corner()(images).argmax(1).all()
    guard = ShrinkPad(share=0.2).guard(Corner(), Known(), context())  # 2 pixels: the corner remains in 1 of 9 positions
    assert 0.03 < guard(images).logits.argmax(1).float().mean() < 0.25
    assert guard(images).flagged is None


def test_a_shrunk_image_lies_at_its_corner() -> None:
    images = torch.rand(5, 3, 9, 14, generator=torch.Generator().manual_seed(0))
    corners = torch.tensor([[0, 0], [2, 4], [1, 3], [2, 0], [0, 4]])
    small = F.interpolate(images, (7, 10), mode="bilinear", antialias=True)
    results = shrunk(images, (2, 4), corners)
    for result, inner, (row, column) in zip(results, small, corners.tolist(), strict=True):
        expected = np.zeros((3, 9, 14), dtype=np.float32)
        expected[:, row : row + 7, column : column + 10] = inner
        np.testing.assert_array_equal(result.numpy(), expected)


def test_corners_are_the_multilinear_hash_of_the_bytes() -> None:
    images = TASK.draw(3, seed=1).floats
    draws = torch.Generator().manual_seed(77)
    factors = torch.randint(-(2**63), 2**63 - 1, (images[0].numel() + 1,), generator=draws).tolist()
    for image, corner in zip(images, hashed_corners(images, (4, 6), 77), strict=True):
        pixels = [round(255 * value) for value in image.flatten().tolist()]
        hashed = (factors[0] + sum(f * x for f, x in zip(factors[1:], pixels, strict=True))) % 2**64
        assert corner.tolist() == [(hashed >> 48) % 5, (hashed >> 32) % 2**16 % 7]


def test_corners_are_drawn_evenly_and_anew_for_every_image_and_seed() -> None:
    images = (torch.arange(2500).view(-1, 1, 1, 1) * torch.tensor([1 / 16, 1.0]).view(1, 1, 1, 2)).floor() % 256 / 255
    drawn = hashed_corners(images, (4, 4), 1)
    counts = torch.bincount(5 * drawn[:, 0] + drawn[:, 1], minlength=25)
    assert len(counts) == 25
    assert float(((counts - 100) ** 2 / 100).sum()) < 52  # chi-square with 24 degrees of freedom, p = 0.001
    assert (drawn != hashed_corners(images, (4, 4), 2)).any(1).float().mean() > 0.9


@pytest.mark.parametrize("share", [0.01, 0.99])
def test_a_share_that_loses_nothing_or_everything_is_refused(share: float) -> None:
    with pytest.raises(RequestError, match="share"):
        ShrinkPad(share=share).resolve(MNIST5k().spec)
