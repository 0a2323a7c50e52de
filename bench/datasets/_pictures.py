"""Picture files to arrays: which there are, and how they become squares of one size."""

import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from bench.datasets._decoded import Part, Source
from bench.datasets._download import shown
from bench.plugin import RequestError

KINDS = (".jpg", ".jpeg", ".png", ".ppm", ".pgm", ".bmp", ".tif", ".tiff", ".webp")
CHUNK = 256  # pictures decoded at once: bounds the memory

Sample = tuple[str, int]  # a picture's path below a root, and its label
Fit = Literal["stretch", "crop"]


def pictures(root: Path, room: str = "") -> list[str]:
    """The picture files at any depth below ``root/room``, in the order of their paths, relative to ``root``."""
    return sorted(
        f"{place}/{name}".removeprefix(f"{root}/")
        for place, _, names in os.walk(root / room)
        for name in names
        if name.lower().endswith(KINDS) and not name.startswith(".")
    )


def folders(room: Path) -> list[str]:
    """The names of the directories in ``room``, sorted, hidden ones left out."""
    return sorted(entry.name for entry in room.iterdir() if entry.is_dir() and not entry.name.startswith("."))


def source(
    root: Path, train: Sequence[Sample], test: Sequence[Sample], side: int, fit: Fit, beside: Iterable[str] = ()
) -> Source:
    """Two splits of pictures below ``root``; ``beside`` are files that say which pictures they are."""

    def part(samples: Sequence[Sample], what: str) -> Part:
        return Part([label for _, label in samples], _decoded(root, [name for name, _ in samples], side, fit, what))

    return Source(
        root,
        [*beside, *(name for name, _ in (*train, *test))],
        len(train),
        lambda: (part(train, "training"), part(test, "test")),
    )


def square(file: Path, side: int, fit: Fit) -> NDArray[np.uint8]:
    """A picture as RGB (3, side, side): stretched to a square, or cut to its middle. Bilinear, with antialiasing.

    Raises RequestError, naming the file, if it cannot be read.
    """
    from PIL import Image, ImageOps

    try:
        with Image.open(file) as opened:
            picture = opened.convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise RequestError(f"{file}: cannot be read as a picture: {' '.join(str(error).split())}") from error
    if fit == "crop":
        picture = ImageOps.fit(picture, (side, side), Image.Resampling.BILINEAR)
    elif picture.size != (side, side):
        picture = picture.resize((side, side), Image.Resampling.BILINEAR)
    return np.asarray(picture).transpose(2, 0, 1)


def _decoded(root: Path, names: Sequence[str], side: int, fit: Fit, what: str) -> Iterator[NDArray[np.uint8]]:
    starts = range(0, len(names), CHUNK)
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:  # Pillow decodes outside the interpreter's lock
        for start in shown(starts, f"decoding {what} images", len(starts)):
            chunk = names[start : start + CHUNK]
            yield np.stack(list(pool.map(lambda name: square(root / name, side, fit), chunk)))
