"""Helpers of the attacks in the frequency domain: raised coefficients of the cosine transform, as a picture to add.

The transform is linear. Raising coefficients of an image is therefore the same as adding the picture that those
coefficients alone stand for. That picture does not depend on the image, so no image needs to be transformed.
"""

import math

import torch
from torch import Tensor

from bench.plugin import RequestError

# what one unit of each of the two chroma channels adds to red, green and blue (ITU-R BT.601)
CHROMA = {
    "ycrcb": ((1.403, -0.714, 0.0), (0.0, -0.344, 1.773)),  # Cr and Cb, of 8-bit images
    "yuv": ((0.0, -0.396, 2.029), (1.14, -0.581, 0.0)),  # U and V, analogue
}


def check_frequencies(attack: str, frequencies: tuple[int, ...], window: int) -> None:
    """Raise RequestError, in the name of ``attack``, unless all frequencies are in 0..window - 1."""
    if not all(0 <= frequency < window for frequency in frequencies):
        listed = "+".join(map(str, frequencies))
        raise RequestError(f"{attack}: frequencies={listed}: expected values from 0 to {window - 1}, below window")


def spectral_picture(
    height: int, width: int, window: int, frequencies: tuple[int, ...], magnitude: float, device: torch.device
) -> Tensor:
    """The picture (H, W) that raises the coefficients (f, f) of every window by ``magnitude``, in the same unit.

    window: side in pixels of the windows that the image is cut into from its top left; the last ones may be cut off.
    frequencies: the f, in 0..window - 1. The transform is the orthonormal DCT-II of each window.
    """
    positions = torch.arange(window, device=device, dtype=torch.float64) + 0.5
    picture = torch.zeros(window, window, device=device, dtype=torch.float64)
    for frequency in frequencies:
        wave = torch.cos(math.pi * frequency / window * positions) * math.sqrt((2 if frequency else 1) / window)
        picture += magnitude * torch.outer(wave, wave)
    rows, columns = (torch.arange(size, device=device) % window for size in (height, width))
    return picture[rows[:, None], columns].float()


def chroma_as_rgb(picture: Tensor, space: str) -> Tensor:
    """The change (3, H, W) of red, green and blue that adds ``picture`` (H, W) to both chroma channels of ``space``.

    space: a key of ``CHROMA``.
    """
    weights = torch.tensor(CHROMA[space], device=picture.device).sum(0)
    return weights[:, None, None] * picture
