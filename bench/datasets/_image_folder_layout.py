"""The layout of an image folder: which of its directories are splits and classes, and which files are its pictures."""

import os
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import TypeVar

from bench.datasets._pictures import KINDS, Sample, is_picture, shown
from bench.plugin import RequestError

T = TypeVar("T")
CACHE = "decoded"  # what defensebench itself puts into a directory that is given as --data
DEEPEST = 100  # folders within each other
_WORDS = {
    "training": "train|training|trn|tr|trainval|learn|learning",
    "test": "test|testing|tst",
    "validation": "val|valid|validation|validate|eval|evaluation|dev|holdout",
}
_AROUND = r"(?:[\W_]*(?:set|data|images?|imgs?|pictures?|split|folder|\d))*[\W_]*"
_ROLES = {role: re.compile(rf"(?:.*[\W_])?(?:{words}){_AROUND}") for role, words in _WORDS.items()}


@dataclass(frozen=True)
class Layout:
    """The classes of a directory, and its splits: ``train`` is "" and ``test`` None where there are none."""

    root: Path
    train: str
    test: str | None
    classes: list[str]


@dataclass(frozen=True)
class Tree:
    """The pictures of both splits with their labels, or all in ``train`` and None; and what is not read, counted."""

    layout: Layout
    train: list[Sample]
    test: list[Sample] | None
    left_out: Counter[str]

    @property
    def files(self) -> list[str]:
        return [name for name, _ in (*self.train, *(self.test or ()))]


def _one_line_errors(read: Callable[[Path], T]) -> Callable[[Path], T]:
    """``read``, with the errors of the file system as RequestErrors of one line."""

    @wraps(read)
    def checked(root: Path) -> T:
        try:
            return read(root)
        except OSError as error:
            raise RequestError(
                f"image_folder: path={shown(root)}: {shown(str(error.filename))}: {error.strerror}"
            ) from error

    return checked


@_one_line_errors
def layout(root: Path) -> Layout:
    """Which directories below ``root`` are splits and which classes. Raises RequestError for any that are unclear."""
    if not root.is_dir():
        raise RequestError(
            f"image_folder: path={shown(root)}: expected a directory with a folder of pictures for each class"
        )
    present = [name for name in folders(root) if name != CACHE or _holds_pictures(root / name)]
    train, test = _splits(root, present)
    classes = folders(root / train) if train else present
    if len(classes) < 2:
        raise RequestError(
            f"image_folder: path={shown(root / train)}: expected a folder of pictures for each of two or more classes, "
            f"found {', '.join(map(shown, classes)) or 'none'}"
        )
    return Layout(root, train, test, classes)


@_one_line_errors
def walk(root: Path) -> Tree:
    """All pictures below ``root``. Links are followed. Raises RequestError for whatever cannot be read as pictures."""
    found, left_out = layout(root), Counter[str]()
    if found.train and found.test:
        names = folders(root / found.test)
        unknown = [name for name in names if name not in found.classes]
        if unknown:
            raise RequestError(
                f"image_folder: path={shown(root)}: {shown(f'{found.test}/{unknown[0]}')}: there is no "
                f"{shown(f'{found.train}/{unknown[0]}')}"
            )
        used = {found.train, found.test}
        left_out.update({f"folder {shown(name)}/": 1 for name in folders(root) if name not in {*used, CACHE}})
        _count_loose(root, left_out)
    else:
        _refuse_splits_below(found)
    train = _samples(found, found.train, left_out)
    test = _samples(found, found.test, left_out) if found.test is not None else None
    return Tree(found, train, test, left_out)


def folders(parent: Path) -> list[str]:
    """The names of the directories in ``parent`` without hidden ones; numbers in them are sorted by their value."""
    return sorted((e.name for e in _entries(parent) if e.is_dir() and not e.name.startswith(".")), key=natural)


def natural(name: str) -> tuple[list[tuple[str, int]], str]:
    """What names are sorted by so that class2 comes before class10."""
    parts = re.split(r"([0-9]+)", name)
    numbers = [int(digits) for digits in parts[1::2]]
    return list(zip(parts[::2], [*numbers, -1], strict=True)), name


def role(name: str) -> str | None:
    """Which split a directory of this name holds by common usage, in any case: training, test, validation or None."""
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower()
    return next((role for role, pattern in _ROLES.items() if pattern.fullmatch(words)), None)


def _splits(root: Path, present: list[str]) -> tuple[str, str | None]:
    """The directories of the training and the test split among those in ``root``; "" and None if there are none."""
    named: dict[str | None, list[str]] = {}
    for name in present:
        named.setdefault(role(name), []).append(name)
    with_classes = {of: [name for name in names if folders(root / name)] for of, names in named.items() if of}
    where = f"image_folder: path={shown(root)}"
    trains, tests = (with_classes.get(of, []) for of in ("training", "test"))
    tests = tests or with_classes.get("validation", [])
    several = next((names for names in (trains, tests) if len(names) > 1), None)
    if several:
        raise RequestError(f"{where}: {' and '.join(map(shown, several))}: expected one of them")
    if trains and not tests:
        raise RequestError(
            f"{where}: no test split: expected test/ or val/ beside {shown(trains[0])}/, with the same classes"
        )
    if tests and not trains:
        raise RequestError(f"{where}: no training split: expected train/ beside {shown(tests[0])}/, with its classes")
    if "training" in named and not trains and {"test", "validation"} & set(named):
        raise RequestError(f"{where}: {shown(named['training'][0])}/: expected a folder of pictures for each class")
    return (trains[0], tests[0]) if trains else ("", None)


def _refuse_splits_below(found: Layout) -> None:
    """Raise RequestError for classes that hold splits: a picture for testing would be trained on."""
    for name in found.classes:
        below = folders(found.root / name)
        roles = {role(inner) for inner in below}
        if "training" in roles and roles & {"test", "validation"}:
            raise RequestError(
                f"image_folder: path={shown(found.root)}: {shown(name)}/ holds splits: {', '.join(map(shown, below))}; "
                "expected the folders of the splits above those of the classes"
            )


def _samples(found: Layout, split: str, left_out: Counter[str]) -> list[Sample]:
    """The pictures of every class below the folder ``split``. Raises RequestError for a class without any."""
    samples: list[Sample] = []
    _count_loose(found.root / split, left_out)
    for label, name in enumerate(found.classes):
        folder = f"{split}/{name}".lstrip("/")
        if not (found.root / folder).is_dir():
            raise RequestError(
                f"image_folder: {shown(found.root / folder)}: there is no such folder; expected pictures"
            )
        files = list(_files(found.root, folder, left_out))
        if not files:
            raise RequestError(
                f"image_folder: {shown(found.root / folder)}: holds no picture; expected {', '.join(KINDS)}"
            )
        samples += [(file, label) for file in files]
    return samples


def _files(root: Path, folder: str, left_out: Counter[str], above: tuple[tuple[int, int], ...] = ()) -> Iterator[str]:
    """The pictures at any depth below ``root/folder``, relative to ``root``. The others are added to ``left_out``."""
    facts = (root / folder).stat()
    here = (facts.st_dev, facts.st_ino)
    if here in above:
        raise RequestError(f"image_folder: {shown(root / folder)}: a link to a folder that it lies in")
    if len(above) > DEEPEST:
        raise RequestError(
            f"image_folder: {shown(root / folder.split('/')[0])}: holds more than {DEEPEST} folders in a row"
        )
    for entry in sorted(_entries(root / folder), key=lambda entry: entry.name):
        name = f"{folder}/{entry.name}"
        if entry.is_dir() and not entry.name.startswith("."):
            yield from _files(root, name, left_out, (*above, here))
        elif entry.is_dir() or entry.name.startswith(".") or not is_picture(entry.name):
            left_out[_sort(entry.name)] += 1
        elif entry.is_file():
            yield name
        elif not (root / name).exists():
            raise RequestError(f"image_folder: {shown(root)}: not whole: {shown(name)} is missing")
        else:
            raise RequestError(f"image_folder: {shown(root / name)}: expected a picture, found no regular file")


def _count_loose(folder: Path, left_out: Counter[str]) -> None:
    """Count the files that lie beside folders, where they belong to no class."""
    for entry in _entries(folder):
        if not entry.is_dir():
            picture = is_picture(entry.name) and not entry.name.startswith(".")
            left_out["pictures outside of the classes" if picture else _sort(entry.name)] += 1


def _holds_pictures(folder: Path) -> bool:
    return any(is_picture(name) for _, _, names in os.walk(folder) for name in names)


def _sort(name: str) -> str:
    """What a file that is left out is counted as."""
    return "hidden" if name.startswith(".") else shown(Path(name).suffix.lower()) or "without a suffix"


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        return list(entries)
