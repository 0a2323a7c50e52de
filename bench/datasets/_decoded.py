"""What the data sets on disk share: decoded once into one memory-mapped file, and opened from it ever after.

Beside the data lies ``decoded/NAME-PARAMETERS-SOURCE/`` with images.npy (uint8, training images first) and the labels
of both splits. SOURCE is a fingerprint of the files decoded, by names, sizes and times: where they change, the file is
made again. It is mapped copy-on-write: pages are read when they are touched, all processes of a machine share them in
the page cache, which may drop them at any time, and nothing that is written to the tensor reaches the disk.
"""

import errno
import hashlib
import os
import shutil
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import platformdirs
import torch
from filelock import FileLock
from numpy.typing import NDArray

from bench.datasets._download import FULL
from bench.plan.identity import canonical
from bench.plugin import Dataset, LabelledImages, RequestError, Splits

READ_ONLY = (errno.EACCES, errno.EPERM, errno.EROFS)
FORMAT = 1  # raised when the same source decodes to other bytes


@dataclass(frozen=True)
class Part:
    """One split before it is decoded: labels (N,), and images as chunks (n, C, H, W) uint8 of N images together."""

    labels: Sequence[int]
    images: Iterable[NDArray[np.uint8]]


@dataclass(frozen=True)
class Source:
    """What lies on disk: the files (relative to ``root``), how many images to train with, and how to read both splits.

    ``read`` raises RequestError where a file is damaged.
    """

    root: Path
    files: Sequence[str]
    training: int
    read: Callable[[], tuple[Part, Part]]

    @property
    def fingerprint(self) -> str:
        """16 hexadecimal digits of the names, sizes and times of the files. Raises RequestError for a missing one."""
        return fingerprint(self.root, self.files)


class Decoded(Dataset):
    """Base of the data sets on disk. A subclass says how to find the files, and how to get them."""

    found_out: ClassVar[frozenset[str]] = frozenset()  # parameters that only say which files lie there
    published: ClassVar[tuple[int, int]] = (0, 0)  # images to train and to test with in what ``download`` gets

    @abstractmethod
    def find(self, folder: Path) -> Source | None:
        """What lies under ``folder``; None where it has to be downloaded; RequestError where it is not whole."""

    @abstractmethod
    def download(self, folder: Path) -> None:
        """Put the files under ``folder``. Called under the lock. Raises OSError or RequestError."""

    def prepare(self, folder: Path) -> None:
        """Download and decode what is missing; RequestError where that fails, or where ``train_size`` is too large."""
        self.splits(folder)

    def training_images(self, folder: Path) -> int:
        if self.train_size is not None:
            return self.train_size
        with self._told(folder):
            source = self.find(folder)
        return source.training if source else self.published[0]

    def load(self, folder: Path) -> Splits:
        with self._told(folder):
            source = self.find(folder) or self._downloaded(folder, _room(folder))
            return _mapped(_beside(folder) / self._entry(source)) or self._decode(source, _room(folder))

    @contextmanager
    def _told(self, folder: Path) -> Iterator[None]:
        """What the system refuses becomes a RequestError of one line."""
        try:
            yield
        except OSError as error:
            if error.errno in FULL:
                said = f"{self.name}: the disk of {folder} is full; nothing half-written is left"
                raise RequestError(said) from error
            raise RequestError(f"{self.name}: {folder}: {error}") from error

    def _downloaded(self, folder: Path, room: Path) -> Source:
        with self._lock(room):
            source = self.find(folder)  # another process may have brought it meanwhile
            if source is None:
                try:
                    self.download(folder)
                except OSError as error:
                    if error.errno in FULL:
                        raise
                    raise RequestError(
                        f"{self.name}: not found whole under {folder}, and it could not be downloaded: {error}"
                    ) from error
                source = self.find(folder)
        if source is None:
            raise RequestError(f"{self.name}: not found under {folder} after its download")
        return source

    def _decode(self, source: Source, room: Path) -> Splits:
        with self._lock(room):
            target = room / self._entry(source)
            found = _mapped(target)
            if found is None:
                draft = room / f"{self.name}.half"  # one a data set: under the lock, one that is there was left behind
                shutil.rmtree(draft, ignore_errors=True)
                draft.mkdir()
                try:
                    _write(draft, source.read(), self.spec.shape)
                    for stale in room.glob(f"{self._parameters}-*"):
                        shutil.rmtree(stale, ignore_errors=True)
                    draft.rename(target)
                finally:
                    shutil.rmtree(draft, ignore_errors=True)
                found = _mapped(target)
        if found is None:
            raise RequestError(f"{self.name}: {target} cannot be read back after it was written")
        return found

    def _lock(self, room: Path) -> FileLock:
        """Held by one process at a time; the system frees it when its holder dies."""
        return FileLock(room / f"{self.name}.lock")

    @property
    def _parameters(self) -> str:
        """The name of this data set with a digest of the parameters; the files have a fingerprint of their own."""
        parameters = self.model_dump(mode="json", exclude={"train_size", *self.found_out})
        said = canonical({"format": FORMAT, "version": self.version, **parameters})
        return f"{self.name}-{hashlib.sha256(said.encode()).hexdigest()[:8]}"

    def _entry(self, source: Source) -> str:
        return f"{self._parameters}-{source.fingerprint}"


def fingerprint(root: Path, files: Iterable[str]) -> str:
    """16 hexadecimal digits of the names, sizes and times of files below ``root``; RequestError for a missing one."""
    digest = hashlib.sha256()
    for name in files:
        try:
            facts = os.stat(f"{root}/{name}")  # noqa: PTH116  # a Path each doubles the time of 100,000 files
        except FileNotFoundError as error:
            raise RequestError(f"{root}: not whole: {name} is missing") from error
        digest.update(f"{name}\0{facts.st_size}\0{facts.st_mtime_ns}\n".encode(errors="surrogateescape"))
    return digest.hexdigest()[:16]


def _beside(folder: Path) -> Path:
    return folder / "decoded"


def _room(folder: Path) -> Path:
    """Where decoded images are written: beside the data, or in the user's cache where the data may only be read."""
    room = _beside(folder)
    try:
        room.mkdir(parents=True, exist_ok=True)
        if os.access(room, os.W_OK):
            return room
    except OSError as error:
        if error.errno not in READ_ONLY:
            raise
    room = platformdirs.user_cache_path("defensebench") / "decoded"
    room.mkdir(parents=True, exist_ok=True)
    return room


def _mapped(entry: Path) -> Splits | None:
    """The splits of a decoded entry, mapped and not read; None where it is not there or was damaged since."""
    try:
        images = torch.from_numpy(np.load(entry / "images.npy", mmap_mode="c"))
        train, test = (torch.from_numpy(np.load(entry / f"{split}.npy")) for split in ("train", "test"))
    except (FileNotFoundError, NotADirectoryError, ValueError, EOFError):
        return None
    if len(images) != len(train) + len(test):
        return None
    return Splits(LabelledImages(images[: len(train)], train), LabelledImages(images[len(train) :], test))


def _write(draft: Path, parts: tuple[Part, Part], shape: tuple[int, int, int]) -> None:
    """Both splits as files in ``draft``; in order and not through a map, where a full disk would kill the process."""
    for part, split in zip(parts, ("train", "test"), strict=True):
        with (draft / f"{split}.npy").open("wb") as stream:
            np.save(stream, np.asarray(part.labels, dtype=np.int64))
    count = sum(len(part.labels) for part in parts)
    header: dict[str, Any] = {"descr": "|u1", "fortran_order": False, "shape": (count, *shape)}
    with (draft / "images.npy").open("wb") as stream:
        np.lib.format.write_array_header_1_0(stream, header)
        for part in parts:
            written = 0
            for chunk in part.images:
                if chunk.dtype != np.uint8 or chunk.shape[1:] != shape:
                    raise ValueError(f"expected images uint8 {shape}, got {chunk.dtype} {chunk.shape[1:]}")
                stream.write(np.ascontiguousarray(chunk).data)
                written += len(chunk)
            if written != len(part.labels):
                raise ValueError(f"expected {len(part.labels)} images, one a label, got {written}")
        stream.flush()
        os.fsync(stream.fileno())  # a crash of the machine after the rename must not leave a hole
