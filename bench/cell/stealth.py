"""How well a trigger hides: distances between images without and with it."""

import math

import torch
from torch import Tensor

IMAGES = 1000  # at most so many are compared: SSIM is computed one image at a time


def stealth(clean: Tensor, triggered: Tensor) -> dict[str, float]:
    """Distances of ``triggered`` from ``clean``, both (N, C, H, W) in [0, 1], by name; NaN for no image.

    psnr: decibels, of the mean squared error over all images (infinite, where nothing changed, becomes NaN). ssim:
    mean over the images, in [-1, 1], Gaussian window as in Wang et al. 2004 (uniform of 7 pixels for images below 11;
    NaN below 7). l0: changed pixels, whatever the channel; l2: Euclidean norm; both means over the images. linf: the
    largest change of all.
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
    values = [structural_similarity(one, other, channel_axis=0, data_range=1.0, **window) for one, other in pairs]
    return float(sum(values) / len(values))
