"""Pictures of a folder as the images that a network is asked about: one folder a class, or flat and without labels."""

import random
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bench.datasets._image_folder_layout import natural, role
from bench.datasets._pictures import FORMATS, LARGEST, is_picture, shown
from bench.datasets._rgb import rgb
from bench.errors import RequestError

MOST = 2500  # images that are read: 5% of CIFAR-10's training set, what the methods' papers give a defender
LARGEST_SIDE = (
    512  # pixels, unless a size is stated: larger pictures are photographs, which no network takes as they are
)
_TURNED = {5, 6, 7, 8}  # EXIF orientations that swap the sides

Size = tuple[int, int]


@dataclass(frozen=True)
class Pictures:
    """Pictures (N, 3, H, W) uint8, RGB, and the folder that each lies in, or None where the directory is flat.

    source: the directory. notes: lines about what was found.
    """

    source: Path
    images: Tensor
    folders: list[str] | None
    notes: list[str]

    def for_channels(self, channels: int) -> Tensor:
        """The images (N, C, H, W) of a network for 3 channels, or for 1. Raises RequestError for another number."""
        if channels == 3:
            return self.images
        if channels != 1:
            raise RequestError(f"the network takes images of {channels} channels, expected 1 or 3")
        weights = torch.tensor([19595, 38470, 7471], dtype=torch.int32)[
            :, None, None
        ]  # as Pillow makes grey of colours
        grey = [(part.int() * weights).sum(1, keepdim=True).add(0x8000) >> 16 for part in self.images.split(64)]
        return torch.cat(grey).byte()

    def labels(self, classes: int) -> tuple[Tensor | None, dict[int, str]]:
        """The labels (N,), or None without folders, and the folders' names by class, for a network's classes.

        A folder whose name is a number is of that class; else there must be one for each class, by name. Raises
        RequestError otherwise.
        """
        if self.folders is None:
            return None, {}
        of_folder = _labels(sorted(set(self.folders), key=natural), classes, f"--images {shown(self.source)}")
        labels = torch.tensor([of_folder[name] for name in self.folders])
        return labels, {label: shown(name) for name, label in of_folder.items()}


def read_pictures(folder: Path, size: Size | None = None, resize: int | None = None) -> Pictures:
    """The pictures in a directory, upright: in a folder for each class, or flat.

    size: height and width; None for that of the pictures, which then have one size. resize: the shorter side is scaled
    to this before the middle is cut out; None for as little as covers ``size``. Transparent parts show white. Of more
    than ``MOST`` pictures a part is read, evenly over the classes. Raises RequestError in one line.
    """
    named = f"--images {shown(folder)}"
    if not folder.is_dir():
        raise RequestError(f"{named}: {'is a file' if folder.exists() else 'is not there'}, expected a directory")
    try:
        found, notes = _found(folder, named)
    except OSError as error:
        raise RequestError(f"{named}: {shown(str(error.filename))}: {error.strerror}") from error
    chosen = _some(found)
    if len(chosen) < len(found):
        notes.append(f"{len(chosen)} of {len(found)} pictures are used")
    size = size or _common_size(folder, [file for file, _ in chosen], named)
    if resize is not None and resize < max(size):
        raise RequestError(f"--resize {resize}: expected at least {max(size)}, the size that is cut out")
    with ThreadPoolExecutor(4) as pool:
        decoded = list(pool.map(lambda one: _decoded(folder / one[0], size, resize), chosen))
    folders = [of for _, of in chosen if of is not None]
    return Pictures(folder, torch.from_numpy(np.stack(decoded)), folders or None, notes)


Found = list[tuple[str, str | None]]


def _found(folder: Path, named: str) -> tuple[Found, list[str]]:
    """The pictures with the folder of each, and what is to be said."""
    entries = [entry for entry in sorted(folder.iterdir()) if not entry.name.startswith(".")]
    loose = [entry.name for entry in entries if entry.is_file() and is_picture(entry.name)]
    folders = sorted((entry.name for entry in entries if entry.is_dir()), key=natural)
    if not folders:
        if not loose:
            raise RequestError(f"{named}: holds 0 pictures, expected some, or a folder of them for each class")
        return [(name, None) for name in loose], ["no folders of classes: the network's own answers serve as labels"]
    if all(role(name) for name in folders):
        raise RequestError(f"{named}: holds {', '.join(map(shown, folders))}: expected one of these folders")
    found: Found = []
    for name in folders:
        inside = [file for file in sorted((folder / name).rglob("*")) if is_picture(file.name) and file.name[0] != "."]
        files = [str(file.relative_to(folder)) for file in inside if file.is_file()]  # a pipe would be waited for
        if not files:
            raise RequestError(f"{named}: {shown(name)}/ holds 0 pictures, expected some of that class")
        found += [(file, name) for file in files]
    if len(folders) < 2:
        raise RequestError(f"{named}: has pictures of one class, {shown(folders[0])}: expected two or more classes")
    return found, [f"{len(loose)} pictures beside the folders of classes are left out"] * bool(loose)


def _labels(folders: Sequence[str], classes: int, named: str) -> dict[str, int]:
    """The class of each folder: the number that is its name, or its place where there is one for each class."""
    numbers = {name: int(name) for name in folders if name.isdecimal() and name.isascii() and len(name) < 10}
    if len(set(numbers.values())) == len(folders) and max(numbers.values()) < classes:
        return numbers
    if len(folders) == classes:
        return {name: number for number, name in enumerate(folders)}
    raise RequestError(
        f"{named}: has {len(folders)} folders and the network {classes} classes: expected a folder for each class, or "
        f"folders whose names are numbers below {classes}"
    )


def _some(found: Found) -> Found:
    """At most ``MOST`` of the pictures, drawn evenly over the folders, always the same."""
    if len(found) <= MOST:
        return found
    of_folder: dict[str | None, Found] = {}
    for one in found:
        of_folder.setdefault(one[1], []).append(one)
    draws = random.Random(0)
    shuffled = [draws.sample(members, len(members)) for members in of_folder.values()]
    places = [(place, number) for number, members in enumerate(shuffled) for place in range(len(members))]
    chosen = {shuffled[number][place] for place, number in sorted(places)[:MOST]}
    return [one for one in found if one in chosen]


def _common_size(folder: Path, files: Sequence[str], named: str) -> Size:
    sizes: dict[Size, str] = {}
    for file in files:
        sizes.setdefault(_size(folder / file), file)
    shapes = [f"{height}x{width} ({shown(file)})" for (height, width), file in sizes.items()]
    if len(sizes) > 1:
        raise RequestError(f"{named}: pictures of several sizes, {', '.join(shapes[:2])}: expected --size with them")
    size = next(iter(sizes))
    if max(size) > LARGEST_SIDE:
        raise RequestError(
            f"{named}: pictures of {shapes[0]}: expected --size, the size that the network was trained on"
        )
    return size


def _size(file: Path) -> Size:
    from PIL import Image

    try:
        with Image.open(file, formats=tuple(FORMATS & _readable())) as opened:
            turned = opened.getexif().get(0x0112) in _TURNED
            return (opened.width, opened.height) if turned else (opened.height, opened.width)
    except Exception as error:  # Pillow raises nearly anything for a damaged file
        raise _unreadable(file, error) from error


def _decoded(file: Path, size: Size, resize: int | None) -> NDArray[np.uint8]:
    """A picture as RGB (3, H, W)."""
    from PIL import Image, ImageOps

    height, width = size
    try:
        with Image.open(file, formats=tuple(FORMATS & _readable())) as opened:
            if opened.width * opened.height > LARGEST:
                raise ValueError(f"{opened.width}x{opened.height} pixels, expected at most {LARGEST:,} in all")
            picture = rgb(ImageOps.exif_transpose(opened), "white")
        if resize is not None:
            scale = resize / min(picture.size)
            sides = max(resize, round(picture.width * scale)), max(resize, round(picture.height * scale))
            picture = picture.resize(sides, Image.Resampling.BILINEAR)
            left, top = round((sides[0] - width) / 2), round((sides[1] - height) / 2)
            picture = picture.crop((left, top, left + width, top + height))
        elif picture.size != (width, height):
            picture = ImageOps.fit(picture, (width, height), Image.Resampling.BILINEAR)
        return np.asarray(picture).transpose(2, 0, 1)
    except Exception as error:  # as above
        raise _unreadable(file, error) from error


def _readable() -> set[str]:
    from PIL import Image

    Image.init()
    return set(Image.OPEN)


def _unreadable(file: Path, error: Exception) -> RequestError:
    reason = " ".join(str(error).split()) or type(error).__name__
    return RequestError(f"--images: {shown(file)}: cannot be read as a picture: {reason}")
