"""What the attacks in the frequency domain share: raised coefficients of the cosine transform as a picture to add.

The transform is linear. Raising coefficients of an image is the same as adding to it the picture that those
coefficients alone stand for, and the same for every image; so no image needs to be transformed.
"""

import math

import torch
from torch import Tensor

from bench.plugin import RequestError

# what one unit of each of the two colour-difference channels adds to red, green and blue (ITU-R BT.601)
CHROMA = {
    "ycrcb": ((1.403, -0.714, 0.0), (0.0, -0.344, 1.773)),  # of 8-bit images: red and blue difference
    "yuv": ((0.0, -0.396, 2.029), (1.14, -0.581, 0.0)),  # analogue: U and V
}


def check(name: str, frequencies: tuple[int, ...], window: int) -> None:
    """RequestError of the plugin ``name`` if a frequency has no coefficient in a window of this side."""
    if not all(0 <= frequency < window for frequency in frequencies):
        told = "+".join(map(str, frequencies))
        raise RequestError(f"{name}: frequencies={told}: expected values from 0 to {window - 1}, below window")


def raised(
    height: int, width: int, window: int, frequencies: tuple[int, ...], magnitude: float, device: torch.device
) -> Tensor:
    """The picture (H, W), in the unit of ``magnitude``, that raises the coefficients (f, f) of every window.

    window: side of the windows that the image is cut into; at its right and lower edge they may be cut off.
    frequencies: the f, below ``window``. The transform is the orthonormal DCT-II of each window.
    """
    places = torch.arange(window, device=device, dtype=torch.float64) + 0.5
    picture = torch.zeros(window, window, device=device, dtype=torch.float64)
    for frequency in frequencies:
        wave = torch.cos(math.pi * frequency / window * places) * math.sqrt((2 if frequency else 1) / window)
        picture += magnitude * torch.outer(wave, wave)
    rows, columns = (torch.arange(size, device=device) % window for size in (height, width))
    return picture[rows[:, None], columns].float()


def in_colours(picture: Tensor, space: str) -> Tensor:
    """What (3, H, W) is added to red, green and blue if ``picture`` (H, W) is to both colour-difference channels."""
    weights = torch.tensor(CHROMA[space], device=picture.device).sum(0)
    return weights[:, None, None] * picture
