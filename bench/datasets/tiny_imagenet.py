"""TinyImageNet: 100,000 training and 10,000 validation images of 64x64 pixels in 200 classes of ImageNet.

The classes are numbered in the order of their WordNet ids. The published validation split is the test set, because the
labels of the published test set are not public. Downloaded at first use (248 MB) and checked by MD5. Le and Yang,
Stanford CS231n, 2015.
"""

from pathlib import Path
from typing import ClassVar

from pydantic import Field

from bench.datasets import _pictures
from bench.datasets._decoded import Decoded, Source
from bench.datasets._download import fetch, unpack
from bench.plugin import ImageSpec, RequestError

URL = "http://cs231n.stanford.edu/tiny-imagenet-200.zip"
MD5 = "90528d7ca1a48142e341f4ef8d21d0de"
DIRECTORY = "tiny-imagenet-200"
TEST_LABELS = "val/val_annotations.txt"


class TinyImageNet(Decoded):
    name: ClassVar[str] = "tiny_imagenet"
    source: ClassVar[str] = "Le and Yang, Stanford CS231n 2015"
    flip: ClassVar[bool] = True
    published: ClassVar[tuple[int, int]] = (100_000, 10_000)
    classes: ClassVar[int] = 200
    size: int = Field(64, ge=8, le=512, description="side of the square images, in pixels")

    @property
    def crop(self) -> int:  # type: ignore[override]  # it follows from the size
        return self.size // 8

    @property
    def spec(self) -> ImageSpec:
        mean, std = (0.4802, 0.4481, 0.3975), (0.2770, 0.2691, 0.2821)
        return ImageSpec(
            3, self.size, self.size, classes=self.classes, mean=mean, std=std, crop=self.crop, flip=self.flip
        )

    def find(self, folder: Path) -> Source | None:
        root = folder / DIRECTORY
        if not root.is_dir():
            return None
        missing = next((name for name in ("wnids.txt", TEST_LABELS) if not (root / name).is_file()), None)
        if missing:  # or a named pipe, which would be waited for for ever
            raise RequestError(f"{root}: not whole: {missing} is missing or no regular file; delete it")
        try:
            wnids = sorted((root / "wnids.txt").read_text().split())
            rows = [line.split("\t") for line in (root / TEST_LABELS).read_text().splitlines()]
            labels = {wnid: label for label, wnid in enumerate(wnids)}
            test = [(f"val/images/{row[0]}", labels[row[1]]) for row in rows]
        except (IndexError, KeyError, ValueError) as error:
            raise RequestError(f"{root}: not whole: wnids.txt or {TEST_LABELS}: {error}; delete it") from error
        train = [(name, labels[wnid]) for wnid in wnids for name in _pictures.pictures(root, f"train/{wnid}")]
        if (len(train), len(test)) != self.published:
            raise RequestError(
                f"{root}: not whole: {len(train)} training and {len(test)} validation images, expected "
                f"{self.published[0]} and {self.published[1]}; delete it to have it downloaded again"
            )
        return _pictures.source(root, train, test, self.size, "stretch", lists=["wnids.txt", TEST_LABELS])

    def download(self, folder: Path) -> None:
        fetch(URL, folder / f"{DIRECTORY}.zip", MD5)
        unpack(folder / f"{DIRECTORY}.zip", {DIRECTORY: folder / DIRECTORY})
