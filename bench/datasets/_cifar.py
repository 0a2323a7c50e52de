"""What CIFAR-10 and CIFAR-100 share: the archive, its layout, and torchvision to read it."""

from abc import abstractmethod
from pathlib import Path
from typing import Any, ClassVar

from bench.datasets._decoded import Decoded, Part, Source
from bench.datasets._download import fetch, unpack
from bench.plugin import RequestError


class CIFAR(Decoded):
    """Base of the two. ``place`` is the directory that torchvision's archive unpacks to."""

    flip: ClassVar[bool] = True
    crop: ClassVar[int] = 4
    published: ClassVar[tuple[int, int]] = (50000, 10000)
    place: ClassVar[str]

    @property
    @abstractmethod
    def reader(self) -> Any:
        """torchvision's class: it knows the URL and the MD5 sums. Imported late, as an opened file needs it not."""

    def find(self, folder: Path) -> Source | None:
        room = folder / self.place
        if not room.is_dir():
            return None
        files = sorted(file.name for file in room.iterdir())
        return Source(room, files, self.published[0], lambda: self._read(folder))

    def download(self, folder: Path) -> None:
        reader = self.reader
        fetch(reader.url, folder / reader.filename, reader.tgz_md5)
        unpack(folder / reader.filename, {self.place: folder / self.place})

    def _read(self, folder: Path) -> tuple[Part, Part]:
        try:
            train, test = (self.reader(str(folder), train=split) for split in (True, False))  # checks every MD5
        except (OSError, RuntimeError) as error:
            raise RequestError(
                f"{self.name}: not found whole under {folder}: {folder / self.place} is damaged or half unpacked; "
                "delete it to have it downloaded again"
            ) from error
        return Part(train.targets, [train.data.transpose(0, 3, 1, 2)]), Part(
            test.targets, [test.data.transpose(0, 3, 1, 2)]
        )
