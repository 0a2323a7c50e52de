"""How well a trigger hides: distances between images without and with it."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor

IMAGES = 1000  # compared at most: SSIM is computed one image at a time


def stealth(pairs: Iterable[tuple[Tensor, Tensor]]) -> dict[str, float]:
    """Distances of triggered images from clean ones, by name; NaN without images.

    pairs: the clean and the triggered images of a batch, both (N, C, H, W) in [0, 1]. The batches do not matter, but
    for psnr in the last digits.

    psnr: in decibels, of the mean squared error over all images; NaN if nothing changed, where it would be infinite.
    ssim: in [-1, 1], mean over the images, with the Gaussian window of Wang et al. 2004. Images with a side below 11
    pixels get a uniform window of 7 pixels; below 7 pixels ssim is NaN.
    l0: pixels that changed in any channel, mean over the images.
    l2: Euclidean norm of the change, mean over the images.
    linf: the largest change of any value.
    """
    batches = [_OfBatch.measured(clean.float(), triggered.float()) for clean, triggered in pairs if len(clean)]
    if not batches:
        return dict.fromkeys(("psnr", "ssim", "l0", "l2", "linf"), math.nan)
    similarities = [value for batch in batches for value in batch.similarities]
    error = sum(batch.error * len(batch.norms) for batch in batches) / len(similarities)
    if len(batches) == 1:
        error = batches[0].error  # without a further rounding
    return {
        "psnr": -10 * math.log10(error) if error else math.nan,
        "ssim": float(sum(similarities) / len(similarities)),
        "l0": float(torch.cat([batch.pixels for batch in batches]).float().mean()),
        "l2": float(torch.cat([batch.norms for batch in batches]).mean()),
        "linf": max(batch.largest for batch in batches),
    }


@dataclass(frozen=True)
class _OfBatch:
    """The distances within one batch: of every image, but for the mean squared error and the largest change."""

    error: float
    similarities: list[Any]
    pixels: Tensor
    norms: Tensor
    largest: float

    @classmethod
    def measured(cls, clean: Tensor, triggered: Tensor) -> Self:
        change = triggered - clean
        return cls(
            float(change.square().mean()),
            _ssim(clean, triggered),
            change.abs().amax(1).gt(1e-6).flatten(1).sum(1),
            torch.linalg.vector_norm(change.flatten(1), dim=1),
            float(change.abs().max()),
        )


def _ssim(clean: Tensor, triggered: Tensor) -> list[Any]:
    """SSIM of every image, as the library gives it: a sum of its floats is rounded as they are."""
    from skimage.metrics import structural_similarity

    side = min(clean.shape[-2:])
    if side < 7:
        return [math.nan] * len(clean)
    window = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False} if side >= 11 else {"win_size": 7}
    pairs = zip(clean.cpu().numpy(), triggered.cpu().numpy(), strict=True)
    return [structural_similarity(before, after, channel_axis=0, data_range=1.0, **window) for before, after in pairs]
