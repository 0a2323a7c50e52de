"""Opened pictures of any colour mode become 8-bit RGB, or are refused: none silently loses what it shows."""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from PIL.Image import Image

BACKGROUNDS = {"white": 255, "black": 0, "grey": 128}
WHOLE = 65535  # the largest value of 16 bits
TWELVE_BITS = 4095  # what many cameras and scanners fill of them


def rgb(picture: "Image", background: str) -> "Image":
    """``picture`` in mode RGB. Transparent parts show ``background``, one of ``BACKGROUNDS``.

    16-bit values are divided by 257, floating-point ones must lie in [0, 1]. Raises ValueError for other ranges, and
    for a picture of which nothing shows, though its colours or its transparency are not uniform.
    """
    if picture.mode == "F":
        return _grey(_from_unit_range(np.asarray(picture)))
    if picture.mode.startswith("I"):
        return _grey(_from_sixteen_bits(picture))
    if picture.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in picture.info:
        return _composed(picture.convert("RGBA"), background)
    return picture.convert("RGB")


def _grey(values: NDArray[Any]) -> "Image":
    """An RGB picture of grey values (H, W) in [0, 255], floating point."""
    from PIL import Image

    return Image.fromarray(np.round(values).astype(np.uint8)).convert("RGB")


def _from_unit_range(values: NDArray[Any]) -> NDArray[Any]:
    low, high = float(values.min()), float(values.max())
    if not (low >= 0 and high <= 1):  # so that NaN is refused too
        raise ValueError(f"floating-point values from {low:g} to {high:g}, expected 0 to 1")
    return values * 255.0


def _from_sixteen_bits(picture: "Image") -> NDArray[Any]:
    values = np.asarray(picture).astype(np.int64)
    low, high = int(values.min()), int(values.max())
    if picture.mode == "I" and picture.format not in ("PNG", "PPM"):  # these two hold 16 bits in 32
        raise ValueError(f"32-bit integers from {low} to {high}, of an unknown range; expected 8 or 16 bits")
    if not 0 <= low <= high <= WHOLE:
        raise ValueError(f"integers from {low} to {high}, expected 0 to {WHOLE}")
    if "transparency" in picture.info:
        raise ValueError("16-bit values with a transparent one among them, expected an alpha channel")
    if high <= TWELVE_BITS and high - low > 255:
        raise ValueError(
            f"16-bit values of no more than {high}, which 8 bits cannot tell apart; expected the range 0 to {WHOLE}"
        )
    return values / 257


def _composed(picture: "Image", background: str) -> "Image":
    """An RGBA picture on a background of one colour."""
    from PIL import Image

    base = Image.new("RGBA", picture.size, (*[BACKGROUNDS[background]] * 3, 255))
    flat = Image.alpha_composite(base, picture).convert("RGB")
    if _is_uniform(flat) and not _is_uniform(picture):
        others = " or ".join(name for name in BACKGROUNDS if name != background)
        raise ValueError(f"nothing of it shows on the background, {background}; choose background={others}")
    return flat


def _is_uniform(picture: "Image") -> bool:
    return all(len(set(np.asarray(channel.getextrema()).tolist())) == 1 for channel in picture.split())
