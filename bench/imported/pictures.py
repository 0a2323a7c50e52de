"""Triggered images as files: PNG by path, or all of them in one .npz; each with the index of its original."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from bench.errors import RequestError, one_line, shortened
from bench.store import files

MOST = 2**20  # images


@dataclass(frozen=True)
class Listed:
    """What is known of K triggered images beside their pixels.

    indices: of the originals in the data set's test or training images. labels: those that the trigger leads to.
    originals: the labels of the originals; None where the file does not say them.
    """

    indices: tuple[int, ...]
    labels: tuple[int, ...]
    originals: tuple[int | None, ...]

    def __len__(self) -> int:
        return len(self.indices)

    @property
    def plain(self) -> list[list[Any]]:
        """All of it, for a hash."""
        return [list(self.indices), list(self.labels), list(self.originals)]


class Pictures(Protocol):
    """The pixels of the images that are listed."""

    @property
    def files(self) -> Sequence[Path]:
        """All files that hold them."""

    def pixels(self, shape: tuple[int, int, int]) -> Tensor:
        """The images (K, C, H, W) uint8, of this shape (C, H, W). Raises RequestError, with the file, for another."""


@dataclass(frozen=True)
class PictureFiles:
    """One PNG file an image."""

    files: tuple[Path, ...]

    def pixels(self, shape: tuple[int, int, int]) -> Tensor:
        images = np.empty((len(self.files), *shape), np.uint8)
        for number, path in enumerate(self.files):
            images[number] = _picture(path, shape)
        return torch.from_numpy(images)


@dataclass(frozen=True)
class PictureArray:
    """All images in an .npz file, ``images`` (K, H, W, C) or, of grey ones, (K, H, W), uint8."""

    path: Path
    images: NDArray[np.uint8]

    @property
    def files(self) -> tuple[Path, ...]:
        return (self.path,)

    def pixels(self, shape: tuple[int, int, int]) -> Tensor:
        images = self.images[..., None] if self.images.ndim == 3 else self.images
        expected = (*shape[1:], shape[0])
        if images.shape[1:] != expected:
            raise RequestError(
                f"{shown(self.path)}: images {self.images.shape}: expected (K, H, W, C) = (K, {expected})"
            )
        return torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2)))


def checked(listed: Listed, named: str) -> Listed:
    """``listed``, if no index is there twice and no number is below 0; else raises RequestError."""
    if not 0 < len(listed) <= MOST:
        raise RequestError(f"{named}: lists {len(listed)} triggered images, expected 1 to {MOST}")
    if len(set(listed.indices)) != len(listed):
        seen: set[int] = set()
        twice = next(one for one in listed.indices if one in seen or seen.add(one))  # type: ignore[func-returns-value]
        raise RequestError(f"{named}: index {twice} is listed twice")
    numbers = [*listed.indices, *listed.labels, *(one for one in listed.originals if one is not None)]
    if (least := min(numbers)) < 0:
        raise RequestError(f"{named}: {least} among the indices and labels, expected numbers from 0")
    return listed


def content(path: Path) -> bytes:
    """The bytes of a file. Raises RequestError, with its name, for what is not there or no regular file."""
    try:
        return files.read(str(path.resolve()))
    except files.NotPlain as error:
        raise RequestError(f"{shown(path)}: {error}") from None
    except (OSError, ValueError) as error:
        raise RequestError(f"{shown(path)}: cannot be read: {getattr(error, 'strerror', None) or error}") from None


def shown(path: Path) -> str:
    """A path for a message of one line."""
    return shortened(str(path))


def _picture(path: Path, shape: tuple[int, int, int]) -> NDArray[np.uint8]:
    """A picture (C, H, W) of this shape."""
    channels, height, width = shape
    try:
        with Image.open(path, formats=["PNG"]) as picture:  # some other formats are decoded by programs of the system
            if picture.size != (width, height):
                size = "x".join(map(str, picture.size))
                raise RequestError(f"{shown(path)}: is a picture of {size} pixels, expected {width}x{height}")
            array = np.asarray(picture.convert("L" if channels == 1 else "RGB"))
    except RequestError:
        raise
    except Exception as error:  # whatever a damaged file makes of Pillow
        raise RequestError(f"{shown(path)}: cannot be read as a PNG picture: {one_line(error)}") from None
    return array[None] if channels == 1 else array.transpose(2, 0, 1)
