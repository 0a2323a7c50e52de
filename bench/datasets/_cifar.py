"""Base of CIFAR-10 and CIFAR-100: their archive and its layout."""

import hashlib
from abc import abstractmethod
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from bench.datasets._cifar_pickle import load
from bench.datasets._decoded import Decoded, EncodedSplit, Source
from bench.datasets._download import fetch, unpack
from bench.plugin import ImageSpec, RequestError


class CIFAR(Decoded):
    """Base of both data sets. ``directory`` is what the archive unpacks to."""

    flip: ClassVar[bool] = True
    crop: ClassVar[int] = 4
    published: ClassVar[tuple[int, int]] = (50000, 10000)
    directory: ClassVar[str]
    labels: ClassVar[str]  # what the files call the labels that are used
    mean: ClassVar[tuple[float, ...]]  # of each channel
    std: ClassVar[tuple[float, ...]]

    @property
    def spec(self) -> ImageSpec:
        classes = len(self.class_names)
        return ImageSpec(3, 32, 32, classes, self.mean, self.std, crop=self.crop, flip=self.flip)

    @property
    @abstractmethod
    def reader(self) -> Any:
        """torchvision's class, which knows the URL and the MD5 sums. Imported late: decoded images do without it."""

    def find(self, folder: Path) -> Source | None:
        root = folder / self.directory
        if not root.is_dir():
            return None
        files = sorted(file.name for file in root.iterdir())
        return Source(root, files, self.published[0], lambda: self._read(folder))

    def download(self, folder: Path) -> None:
        reader = self.reader
        fetch(reader.url, folder / reader.filename, reader.tgz_md5)
        unpack(folder / reader.filename, {self.directory: folder / self.directory})

    def _read(self, folder: Path) -> tuple[EncodedSplit, EncodedSplit]:
        try:
            train, test = (self._split(folder, hashes) for hashes in (self.reader.train_list, self.reader.test_list))
        except (OSError, ValueError) as error:
            raise RequestError(
                f"{self.name}: not found whole under {folder}: {folder / self.directory} is damaged or half unpacked "
                f"({error}); delete it to have it downloaded again"
            ) from error
        return train, test

    def _split(self, folder: Path, hashes: list[list[str]]) -> EncodedSplit:
        """The images of the files that are listed with their MD5 sums. Raises ValueError or OSError for others."""
        images, labels = [], []
        for name, md5 in hashes:
            batch = _checked(folder / self.directory / name, md5)
            pixels, given = batch.get("data"), batch.get(self.labels)
            if not isinstance(pixels, np.ndarray) or pixels.dtype != np.uint8 or pixels.shape[1:] != (3072,):
                raise ValueError(f"{name} holds no images of 3x32x32 bytes")
            if not isinstance(given, list) or len(given) != len(pixels) or not all(type(one) is int for one in given):
                raise ValueError(f"{name} does not hold one label for each of its {len(pixels)} images")
            images.append(pixels.reshape(-1, 3, 32, 32))
            labels += given
        return EncodedSplit(labels, images)


def _checked(file: Path, md5: str) -> dict[Any, Any]:
    """What a pickled file holds; it is read once, so that what is unpickled is what was checked."""
    if not file.is_file():
        raise ValueError(f"{file.name} is missing or no regular file")
    content = file.read_bytes()
    actual = hashlib.md5(content, usedforsecurity=False).hexdigest()
    if actual != md5:
        raise ValueError(f"the MD5 of {file.name} is {actual}, expected {md5}")
    try:
        return load(content)
    except ValueError as error:
        raise ValueError(f"{file.name}: {error}") from error
