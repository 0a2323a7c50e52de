"""Picture files: finding them in a directory tree, and decoding them to square images of one size."""

import os
import stat
import warnings
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from bench.datasets._decoded import EncodedSplit, Source
from bench.datasets._download import with_progress
from bench.datasets._rgb import rgb
from bench.plugin import RequestError

KINDS = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".gif", ".bmp", ".dib", ".tif", ".tiff", ".webp", ".avif"),
    *(".ppm", ".pgm", ".pbm", ".pnm", ".pfm", ".jp2", ".j2k", ".jpx", ".tga", ".pcx", ".dds", ".sgi", ".qoi"),
)
# Pillow's names of the formats that are tried, whatever a file is called. EPS is not among them: it is a program.
FORMATS = frozenset(
    ("AVIF", "BMP", "DDS", "DIB", "GIF", "JPEG", "JPEG2000", "PCX", "PNG", "PPM", "QOI", "SGI", "TGA", "TIFF", "WEBP")
)
LARGEST = 100_000_000  # pixels: a small file can claim more than any memory holds
CHUNK = 256  # pictures decoded at a time, which bounds the memory

Sample = tuple[str, int]  # a picture's path below a root, and its label
Fit = Literal["stretch", "crop"]


def pictures(root: Path, folder: str = "") -> list[str]:
    """The picture files at any depth below ``root/folder``: their paths relative to ``root``, sorted."""
    return sorted(
        f"{directory}/{name}".removeprefix(f"{root}/")
        for directory, _, names in os.walk(root / folder)
        for name in names
        if is_picture(name) and not name.startswith(".")
    )


def is_picture(name: str) -> bool:
    """Whether a file of this name is read as a picture."""
    return name.lower().endswith(KINDS)


def folders(parent: Path) -> list[str]:
    """The names of the directories in ``parent``, sorted, without hidden ones."""
    return sorted(entry.name for entry in parent.iterdir() if entry.is_dir() and not entry.name.startswith("."))


def source(
    root: Path,
    train: Sequence[Sample],
    test: Sequence[Sample],
    side: int,
    fit: Fit,
    *,
    lists: Iterable[str] = (),
    upright: bool = False,
    background: str = "white",
    digest: str = "",
) -> Source:
    """The source of two splits of pictures below ``root``; ``lists`` are files that name the pictures or labels.

    ``upright`` and ``background`` are those of ``square``. ``digest`` stands for the content of all files; without it
    their times do.
    """

    def split(samples: Sequence[Sample], name: str) -> EncodedSplit:
        def decoded(file: str) -> NDArray[np.uint8]:
            return square(root / file, side, fit, upright=upright, background=background)

        starts = with_progress(range(0, len(samples), CHUNK), f"decoding {name} images", -(-len(samples) // CHUNK))
        chunks = (_parallel(decoded, [file for file, _ in samples[start : start + CHUNK]]) for start in starts)
        return EncodedSplit([label for _, label in samples], chunks)

    return Source(
        root,
        [*lists, *(name for name, _ in (*train, *test))],
        len(train),
        lambda: (split(train, "training"), split(test, "test")),
        digest=digest,
        labels=([label for _, label in train], [label for _, label in test]),
    )


def square(file: Path, side: int, fit: Fit, *, upright: bool = False, background: str = "white") -> NDArray[np.uint8]:
    """A picture as RGB (3, side, side), stretched or cropped to its middle square. Bilinear, with antialiasing.

    Of an animated picture it is the first frame. ``upright``: turned as its EXIF orientation says. Transparent parts
    show ``background``. Raises RequestError, which names the file, if it cannot be read or would lose its content.
    """
    from PIL import Image, ImageOps

    try:
        _check_regular(file)
        with Image.open(file, formats=_formats()) as opened:
            if opened.width * opened.height > LARGEST:
                raise ValueError(f"{opened.width}x{opened.height} pixels, expected at most {LARGEST:,} in all")
            picture = rgb(ImageOps.exif_transpose(opened) if upright else opened, background)
        if fit == "crop":
            picture = ImageOps.fit(picture, (side, side), Image.Resampling.BILINEAR)
        elif picture.size != (side, side):
            picture = picture.resize((side, side), Image.Resampling.BILINEAR)
        return np.asarray(picture).transpose(2, 0, 1)
    except (
        Exception
    ) as error:  # Pillow raises nearly anything for a damaged file: NotImplementedError, struct.error ...
        reason = " ".join(str(error).split()) or type(error).__name__
        raise RequestError(f"{shown(file)}: cannot be read as a picture: {reason}") from error


def shown(path: str | Path) -> str:
    """A path as it can be printed on one line: with escapes for line ends and whatever else is not printable."""
    text = str(path)
    return text if text.isprintable() else ascii(text)[1:-1]


def _check_regular(file: Path) -> None:
    """Raise ValueError for what is no regular file: opening a named pipe waits for ever."""
    mode = file.stat().st_mode
    if not stat.S_ISREG(mode):
        raise ValueError("it is a named pipe" if stat.S_ISFIFO(mode) else "it is not a regular file")


@cache
def _formats() -> tuple[str, ...]:
    """Those of ``FORMATS`` that this Pillow can read."""
    from PIL import Image

    Image.init()
    return tuple(sorted(FORMATS & set(Image.OPEN)))


def _parallel(decoded: Callable[[str], NDArray[np.uint8]], files: Sequence[str]) -> NDArray[np.uint8]:
    """The pictures (n, 3, side, side) of ``files``, several at a time: Pillow releases the interpreter's lock."""
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns of large or odd pictures, in no words of ours; we refuse or read
        return np.stack(list(pool.map(decoded, files)))
