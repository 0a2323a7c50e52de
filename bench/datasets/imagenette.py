"""Imagenette: 9,469 training and 3,925 validation photographs of ten classes of ImageNet that are easy to tell apart.

The published validation split is the test set. The middle square of every photograph is scaled to ``size``. Of the
three official archives the smallest with enough pixels is downloaded at first use (160: 99 MB, 320: 341 MB, full:
1.6 GB) and checked by MD5. Howard, fast.ai, 2019 (the second version).
"""

from pathlib import Path
from typing import ClassVar

from pydantic import Field

from bench.datasets import _pictures
from bench.datasets._decoded import Decoded, Source
from bench.datasets._download import fetch, unpack
from bench.plugin import ImageSpec, RequestError

URL = "https://s3.amazonaws.com/fast-ai-imageclas"
ARCHIVES = {  # name: the largest ``size`` that it is used for, MD5
    "imagenette2-160": (160, "e793b78cc4c9e9a4ccc0c1155377a412"),
    "imagenette2-320": (320, "3df6f0d01a2c9592104656642f5e78a3"),
    "imagenette2": (512, "fe2fc210e6bb7c5664d602c3cd71e612"),
}


class Imagenette(Decoded):
    name: ClassVar[str] = "imagenette"
    source: ClassVar[str] = "Howard, fast.ai 2019"
    flip: ClassVar[bool] = True
    published: ClassVar[tuple[int, int]] = (9469, 3925)
    class_names: ClassVar[tuple[str, ...]] = (
        "tench", "English springer", "cassette player", "chain saw", "church", "French horn", "garbage truck",
        "gas pump", "golf ball", "parachute",
    )  # fmt: skip
    size: int = Field(160, ge=8, le=512, description="side of the square images, in pixels")

    @property
    def crop(self) -> int:  # type: ignore[override]  # it follows from the size
        return self.size // 8

    @property
    def spec(self) -> ImageSpec:
        mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet's
        return ImageSpec(3, self.size, self.size, classes=10, mean=mean, std=std, crop=self.crop, flip=self.flip)

    @property
    def directory(self) -> str:
        """The directory that the archive of this size unpacks to."""
        return next(name for name, (side, _) in ARCHIVES.items() if self.size <= side)

    def find(self, folder: Path) -> Source | None:
        root = folder / self.directory
        if not root.is_dir():
            return None
        train, test = ([*self._samples(root, split)] for split in ("train", "val"))
        if (len(train), len(test)) != self.published:
            raise RequestError(
                f"{root}: not whole: {len(train)} training and {len(test)} validation images, expected "
                f"{self.published[0]} and {self.published[1]}; delete it to have it downloaded again"
            )
        return _pictures.source(root, train, test, self.size, "crop")

    def download(self, folder: Path) -> None:
        archive = folder / f"{self.directory}.tgz"
        fetch(f"{URL}/{archive.name}", archive, ARCHIVES[self.directory][1])
        unpack(archive, {self.directory: folder / self.directory})

    def _samples(self, root: Path, split: str) -> list[_pictures.Sample]:
        wnids = _pictures.folders(root / split) if (root / split).is_dir() else []
        return [
            (name, label) for label, wnid in enumerate(wnids) for name in _pictures.pictures(root, f"{split}/{wnid}")
        ]
