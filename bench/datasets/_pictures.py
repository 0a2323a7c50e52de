"""Picture files: finding them in a directory tree, and decoding them to square images of one size."""

import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from bench.datasets._decoded import EncodedSplit, Source
from bench.datasets._download import with_progress
from bench.plugin import RequestError

KINDS = (".jpg", ".jpeg", ".png", ".ppm", ".pgm", ".bmp", ".tif", ".tiff", ".webp")
CHUNK = 256  # pictures decoded at a time, which bounds the memory

Sample = tuple[str, int]  # a picture's path below a root, and its label
Fit = Literal["stretch", "crop"]


def pictures(root: Path, folder: str = "") -> list[str]:
    """The picture files at any depth below ``root/folder``: their paths relative to ``root``, sorted."""
    return sorted(
        f"{directory}/{name}".removeprefix(f"{root}/")
        for directory, _, names in os.walk(root / folder)
        for name in names
        if name.lower().endswith(KINDS) and not name.startswith(".")
    )


def folders(parent: Path) -> list[str]:
    """The names of the directories in ``parent``, sorted, without hidden ones."""
    return sorted(entry.name for entry in parent.iterdir() if entry.is_dir() and not entry.name.startswith("."))


def source(
    root: Path, train: Sequence[Sample], test: Sequence[Sample], side: int, fit: Fit, lists: Iterable[str] = ()
) -> Source:
    """The source of two splits of pictures below ``root``; ``lists`` are files that name the pictures or labels."""

    def split(samples: Sequence[Sample], name: str) -> EncodedSplit:
        images = _decoded(root, [file for file, _ in samples], side, fit, name)
        return EncodedSplit([label for _, label in samples], images)

    return Source(
        root,
        [*lists, *(name for name, _ in (*train, *test))],
        len(train),
        lambda: (split(train, "training"), split(test, "test")),
    )


def square(file: Path, side: int, fit: Fit) -> NDArray[np.uint8]:
    """A picture as RGB (3, side, side), stretched or cropped to its middle square. Bilinear, with antialiasing.

    Raises RequestError, which names the file, if it cannot be read.
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


def _decoded(root: Path, names: Sequence[str], side: int, fit: Fit, split: str) -> Iterator[NDArray[np.uint8]]:
    starts = range(0, len(names), CHUNK)
    with ThreadPoolExecutor(
        min(8, os.cpu_count() or 1)
    ) as pool:  # Pillow releases the interpreter's lock while it decodes
        for start in with_progress(starts, f"decoding {split} images", len(starts)):
            chunk = names[start : start + CHUNK]
            yield np.stack(list(pool.map(lambda name: square(root / name, side, fit), chunk)))
