"""Base of the data sets on disk: decoded once into one memory-mapped file, and read from that file ever after.

The directory ``decoded/NAME-PARAMETERS-SOURCE/`` beside the data holds images.npy (uint8, training images first), the
labels of both splits, and the files' SHA-256 sums, which are checked once a run. SOURCE is a fingerprint of the decoded
files' names, sizes and times, or of their contents; when they change, the images are decoded again. images.npy is
mapped copy-on-write: a page is read when it is used and given back afterwards, all processes of a machine share the
system's copy of it, and nothing that is written to the tensor reaches the disk.
"""

import errno
import hashlib
import json
import os
import shutil
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import platformdirs
import torch
from filelock import FileLock
from numpy.typing import NDArray

from bench.datasets._download import DISK_FULL
from bench.plugin import Dataset, LabelledImages, RequestError, Splits, mapped

READ_ONLY = (errno.EACCES, errno.EPERM, errno.EROFS)
SUMS = "SHA256SUMS"
FORMAT = 1  # raised when the same files decode to other bytes


@dataclass(frozen=True)
class EncodedSplit:
    """One split before it is written: labels (N,), and N images that are decoded in chunks (n, C, H, W) uint8."""

    labels: Sequence[int]
    images: Iterable[NDArray[np.uint8]]


@dataclass(frozen=True)
class Source:
    """The files of a data set: their paths relative to ``root``, the number of training images, and how to decode them.

    ``read`` gives the training and the test split. It raises RequestError for a damaged file. ``digest`` stands for
    the files' contents, where that is known. ``labels`` are those of both splits, where they are known beforehand.
    """

    root: Path
    files: Sequence[str]
    training: int
    read: Callable[[], tuple[EncodedSplit, EncodedSplit]]
    digest: str = ""
    labels: tuple[Sequence[int], Sequence[int]] | None = None

    @property
    def fingerprint(self) -> str:
        """``digest``, or else ``fingerprint`` of the files. Raises RequestError for a missing one."""
        return self.digest or fingerprint(self.root, self.files)


class Decoded(Dataset):
    """Base of the data sets on disk. A subclass says how to find their files and how to download them."""

    inferred: ClassVar[frozenset[str]] = frozenset()  # parameters that follow from the files, which are hashed anyway
    published: ClassVar[tuple[int, int]] = (0, 0)  # numbers of training and test images that ``download`` gets

    @abstractmethod
    def find(self, folder: Path) -> Source | None:
        """The files under ``folder``; None if they must be downloaded. Raises RequestError if only some are there."""

    @abstractmethod
    def download(self, folder: Path) -> None:
        """Put the files under ``folder``. The caller holds the lock. Raises OSError or RequestError."""

    def prepare(self, folder: Path) -> None:
        """Download and decode what is missing or damaged, once for a run: it reads all that was decoded.

        Raises RequestError if that fails or ``train_size`` is too large.
        """
        self._load(folder, whole=True)
        self.splits(folder)

    def training_images(self, folder: Path) -> int:
        if self.train_size is not None:
            return self.train_size
        with self._one_line_errors(folder):
            source = self.find(folder)
        return source.training if source else self.published[0]

    def load(self, folder: Path) -> Splits:
        return self._load(folder, whole=False)

    def _load(self, folder: Path, *, whole: bool) -> Splits:
        """Both splits; ``whole``: only if every byte of them is still what was written, else decoded again."""
        with self._one_line_errors(folder):
            source = self.find(folder) or self._downloaded(folder, _writable_cache(folder))
            entry = _cache_beside(folder) / self._entry(source)
            return self._mapped(entry, source, whole) or self._decode(source, _writable_cache(folder), whole)

    @contextmanager
    def _one_line_errors(self, folder: Path) -> Iterator[None]:
        """Turn errors of the file system into a RequestError of one line."""
        try:
            yield
        except OSError as error:
            if error.errno in DISK_FULL:
                raise RequestError(
                    f"{self.name}: the disk of {folder} is full; nothing half-written is left"
                ) from error
            raise RequestError(f"{self.name}: {folder}: {error}") from error

    def _downloaded(self, folder: Path, cache: Path) -> Source:
        with self._lock(cache):
            source = self.find(folder)  # another process may have downloaded it meanwhile
            if source is None:
                try:
                    self.download(folder)
                except OSError as error:
                    if error.errno in DISK_FULL:
                        raise
                    raise RequestError(
                        f"{self.name}: not found whole under {folder}, and it could not be downloaded: {error}"
                    ) from error
                source = self.find(folder)
        if source is None:
            raise RequestError(f"{self.name}: not found under {folder} after its download")
        return source

    def _decode(self, source: Source, cache: Path, whole: bool) -> Splits:
        with self._lock(cache):
            target = cache / self._entry(source)
            splits = self._mapped(target, source, whole)
            if splits is None:
                draft = cache / f"{self.name}.half"  # whoever holds the lock may remove one: its writer was killed
                _remove(draft)
                draft.mkdir()
                try:
                    _write(draft, source.read(), self.spec.shape)
                    for stale in cache.glob(f"{self._parameters}-*"):
                        _remove(stale)
                    draft.rename(target)
                finally:
                    _remove(draft)
                splits = self._mapped(target, source, whole)
        if splits is None:
            raise RequestError(f"{self.name}: {target} cannot be read back after it was written")
        return splits

    def _mapped(self, entry: Path, source: Source, whole: bool) -> Splits | None:
        """The splits of a decoded entry, mapped into memory; None if it is missing, damaged or not of ``source``."""
        try:
            images = _array(entry / "images.npy", "c")
            labels = [np.array(_array(entry / f"{split}.npy", "r")) for split in ("train", "test")]
            if whole and not _is_whole(entry):
                return None
        except PermissionError:
            raise
        except Exception:  # what numpy raises for damaged headers is not documented
            return None
        for of_split, expected in zip(labels, source.labels or (None, None), strict=True):
            if of_split.dtype != np.int64 or of_split.ndim != 1 or not len(of_split):
                return None
            if not 0 <= of_split.min() <= of_split.max() < self.spec.classes:
                return None
            if expected is not None and not np.array_equal(of_split, expected):
                return None
        if images.dtype != np.uint8 or images.shape != (sum(map(len, labels)), *self.spec.shape):
            return None
        pixels, (train, test) = mapped.tensor_of(images), map(torch.from_numpy, labels)
        return Splits(LabelledImages(pixels[: len(train)], train), LabelledImages(pixels[len(train) :], test))

    def _lock(self, cache: Path) -> FileLock:
        """A lock that one process holds at a time; the system releases it when that process dies."""
        return FileLock(cache / f"{self.name}.lock")

    @property
    def _parameters(self) -> str:
        """The data set's name with a hash of the parameters that decide what its files decode to."""
        parameters = self.model_dump(mode="json", exclude={"train_size", *self.inferred})
        content = {"format": FORMAT, "version": self.version, **parameters}
        text = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
        return f"{self.name}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"

    def _entry(self, source: Source) -> str:
        return f"{self._parameters}-{source.fingerprint}"


def fingerprint(root: Path, files: Iterable[str]) -> str:
    """A hash of the names, sizes and times of ``files`` below ``root``, 16 hexadecimal digits.

    Raises RequestError for a missing file.
    """
    digest = hashlib.sha256()
    for name in files:
        try:
            facts = os.stat(f"{root}/{name}")  # noqa: PTH116  # one Path for each of 100,000 files would double the time
        except FileNotFoundError as error:
            raise RequestError(f"{root}: not whole: {name} is missing") from error
        digest.update(f"{name}\0{facts.st_size}\0{facts.st_mtime_ns}\n".encode(errors="surrogateescape"))
    return digest.hexdigest()[:16]


def _cache_beside(folder: Path) -> Path:
    return folder / "decoded"


def _writable_cache(folder: Path) -> Path:
    """Where decoded images are written: beside the data, or in the user's cache if the data are read-only."""
    cache = _cache_beside(folder)
    try:
        cache.mkdir(parents=True, exist_ok=True)
        if os.access(cache, os.W_OK):
            return cache
    except OSError as error:
        if error.errno not in READ_ONLY:
            raise
    cache = platformdirs.user_cache_path("defensebench") / "decoded"
    cache.mkdir(parents=True, exist_ok=True)
    return cache


def _array(file: Path, mode: Literal["r", "c"]) -> "np.memmap[Any, Any]":
    """The array in a file, mapped into memory. Raises ValueError for what is no regular file: a pipe waits for ever."""
    if not file.is_file():
        raise ValueError(f"{file} is not a file")
    array: np.memmap[Any, Any] = np.load(file, mmap_mode=mode)
    return array


def _sums(entry: Path) -> str:
    """The SHA-256 sums of a decoded entry's files, as the program sha256sum prints them."""
    sums = ""
    for name in ("images.npy", "train.npy", "test.npy"):
        with (entry / name).open("rb") as stream:
            sums += f"{hashlib.file_digest(stream, 'sha256').hexdigest()}  {name}\n"
    return sums


def _is_whole(entry: Path) -> bool:
    """Whether the files are those that were written. One that was decoded before sums were kept passes."""
    kept = entry / SUMS
    return kept.read_text() == _sums(entry) if kept.is_file() else not kept.exists()


def _remove(entry: Path) -> None:
    """Remove a directory with all that is in it, or whatever else lies in its place."""
    if entry.is_dir() and not entry.is_symlink():
        shutil.rmtree(entry, ignore_errors=True)
    else:
        entry.unlink(missing_ok=True)


def _write(draft: Path, splits: tuple[EncodedSplit, EncodedSplit], shape: tuple[int, int, int]) -> None:
    """Write both splits as files in ``draft``.

    They are written as streams: writing to a memory map kills the process when the disk is full.
    """
    for split, name in zip(splits, ("train", "test"), strict=True):
        with (draft / f"{name}.npy").open("wb") as stream:
            np.save(stream, np.asarray(split.labels, dtype=np.int64))
    count = sum(len(split.labels) for split in splits)
    header: dict[str, Any] = {"descr": "|u1", "fortran_order": False, "shape": (count, *shape)}
    with (draft / "images.npy").open("wb") as stream:
        np.lib.format.write_array_header_1_0(stream, header)
        for split in splits:
            written = 0
            for chunk in split.images:
                if chunk.dtype != np.uint8 or chunk.shape[1:] != shape:
                    raise ValueError(f"expected images uint8 {shape}, got {chunk.dtype} {chunk.shape[1:]}")
                stream.write(np.ascontiguousarray(chunk).data)
                written += len(chunk)
            if written != len(split.labels):
                raise ValueError(f"expected {len(split.labels)} images, one for each label, got {written}")
        stream.flush()
        os.fsync(stream.fileno())  # else a crash of the machine after the rename could leave an empty file
    (draft / SUMS).write_text(_sums(draft))
