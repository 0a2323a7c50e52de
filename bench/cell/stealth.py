"""How well a trigger hides: distances between images without and with it."""

import math

import torch
from torch import Tensor

IMAGES = 1000  # compared at most: SSIM is computed one image at a time


def stealth(clean: Tensor, triggered: Tensor) -> dict[str, float]:
    """Distances of ``triggered`` from ``clean``, both (N, C, H, W) in [0, 1], by name; NaN without images.

    psnr: in decibels, of the mean squared error over all images; NaN if nothing changed, where it would be infinite.
    ssim: in [-1, 1], mean over the images, with the Gaussian window of Wang et al. 2004. Images with a side below 11
    pixels get a uniform window of 7 pixels; below 7 pixels ssim is NaN.
    l0: pixels that changed in any channel, mean over the images.
    l2: Euclidean norm of the change, mean over the images.
    linf: the largest change of any value.
    """
    clean, triggered = clean[:IMAGES].float(), triggered[:IMAGES].float()
    if not len(clean):
        return dict.fromkeys(("psnr", "ssim", "l0", "l2", "linf"), math.nan)
    change = triggered - clean
    error = float(change.square().mean())
    return {
        "psnr": -10 * math.log10(error) if error else math.nan,
        "ssim": _ssim(clean, triggered),
        "l0": float(change.abs().amax(1).gt(1e-6).flatten(1).sum(1).float().mean()),
        "l2": float(torch.linalg.vector_norm(change.flatten(1), dim=1).mean()),
        "linf": float(change.abs().max()),
    }


def _ssim(clean: Tensor, triggered: Tensor) -> float:
    from skimage.metrics import structural_similarity

    side = min(clean.shape[-2:])
    if side < 7:
        return math.nan
    window = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False} if side >= 11 else {"win_size": 7}
    pairs = zip(clean.cpu().numpy(), triggered.cpu().numpy(), strict=True)
    values = [structural_similarity(before, after, channel_axis=0, data_range=1.0, **window) for before, after in pairs]
    return float(sum(values) / len(values))
