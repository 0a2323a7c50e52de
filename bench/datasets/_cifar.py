"""Base of CIFAR-10 and CIFAR-100: their archive and its layout, read by torchvision."""

from abc import abstractmethod
from pathlib import Path
from typing import Any, ClassVar

from bench.datasets._decoded import Decoded, EncodedSplit, Source
from bench.datasets._download import fetch, unpack
from bench.plugin import RequestError


class CIFAR(Decoded):
    """Base of both data sets. ``directory`` is what the archive unpacks to."""

    flip: ClassVar[bool] = True
    crop: ClassVar[int] = 4
    published: ClassVar[tuple[int, int]] = (50000, 10000)
    directory: ClassVar[str]

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
            train, test = (self.reader(str(folder), train=split) for split in (True, False))  # checks every MD5
        except (OSError, RuntimeError) as error:
            raise RequestError(
                f"{self.name}: not found whole under {folder}: {folder / self.directory} is damaged or half unpacked; "
                "delete it to have it downloaded again"
            ) from error
        train_split, test_split = (
            EncodedSplit(loaded.targets, [loaded.data.transpose(0, 3, 1, 2)]) for loaded in (train, test)
        )
        return train_split, test_split
