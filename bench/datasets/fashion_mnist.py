"""Fashion-MNIST: 60,000 training and 10,000 test pictures of clothes, 28x28 grey, in ten classes.

Downloaded at first use (30 MB) and checked against torchvision's MD5 sums. Xiao, Rasul and Vollgraf, 2017.
"""

import gzip
import zlib
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from bench.datasets._decoded import Decoded, EncodedSplit, Source
from bench.datasets._download import fetch, md5_of
from bench.plugin import ImageSpec, RequestError


class FashionMNIST(Decoded):
    name: ClassVar[str] = "fashion_mnist"
    source: ClassVar[str] = "Xiao, Rasul and Vollgraf 2017"
    flip: ClassVar[bool] = True
    crop: ClassVar[int] = 2
    published: ClassVar[tuple[int, int]] = (60000, 10000)
    class_names: ClassVar[tuple[str, ...]] = (
        "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
    )  # fmt: skip

    @property
    def spec(self) -> ImageSpec:
        return ImageSpec(1, 28, 28, classes=10, mean=(0.2860,), std=(0.3530,), crop=self.crop, flip=self.flip)

    def find(self, folder: Path) -> Source | None:
        root = folder / "FashionMNIST" / "raw"
        packed = [f"{split}-{what}-ubyte.gz" for split in ("train", "t10k") for what in ("images-idx3", "labels-idx1")]
        files = [name if (root / name).is_file() else name.removesuffix(".gz") for name in packed]
        if not all((root / name).is_file() for name in files):
            return None
        return Source(root, files, self.published[0], lambda: self._read(root, files))

    def download(self, folder: Path) -> None:
        from torchvision.datasets import FashionMNIST as Reader

        root = folder / "FashionMNIST" / "raw"
        for name, md5 in Reader.resources:
            if not (root / name).is_file():
                fetch(f"{Reader.mirrors[0]}{name}", root / name, md5)

    def _read(self, root: Path, files: list[str]) -> tuple[EncodedSplit, EncodedSplit]:
        from torchvision.datasets import FashionMNIST as Reader

        for name, md5 in Reader.resources:
            if name in files and md5_of(root / name) != md5:
                raise RequestError(f"{root / name}: damaged: expected the MD5 {md5}; delete it to have it downloaded")
        counts = np.repeat(self.published, 2)
        arrays = [read_idx(root / name, int(count)) for name, count in zip(files, counts, strict=True)]
        train, train_labels, test, test_labels = arrays
        return EncodedSplit(train_labels.tolist(), [train[:, None]]), EncodedSplit(
            test_labels.tolist(), [test[:, None]]
        )


def read_idx(file: Path, count: int) -> NDArray[np.uint8]:
    """The values of an IDX file, compressed by gzip or not: labels (count,) or pictures (count, H, W).

    Format: two zero bytes, 8 for "unsigned byte", the number of axes, their lengths as big-endian int32, the values.
    Raises RequestError for any other content.
    """
    try:
        content = gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
        axes = content[3]
        shape = np.frombuffer(content, ">i4", axes, offset=4).tolist()
        if content[:3] != b"\0\0\x08" or shape[0] != count:
            raise ValueError(f"it begins with {content[:8].hex()}")
        return np.frombuffer(content, np.uint8, offset=4 + 4 * axes).reshape(shape)
    except (gzip.BadGzipFile, zlib.error, EOFError, ValueError, IndexError) as error:
        raise RequestError(f"{file}: damaged: expected an IDX file of {count} items: {error}") from error
