"""CIFAR-10: 50,000 training and 10,000 test photographs of 32x32 pixels in ten classes.

Downloaded by torchvision at first use (170 MB) and checked against the official MD5 sums. Krizhevsky, 2009.
"""

from pathlib import Path
from typing import ClassVar

from bench.datasets._arrays import labelled
from bench.errors import RequestError
from bench.plugin import Dataset, ImageSpec, Splits


class CIFAR10(Dataset):
    name: ClassVar[str] = "cifar10"
    source: ClassVar[str] = "Krizhevsky 2009"
    flip: ClassVar[bool] = True
    crop: ClassVar[int] = 4

    @property
    def spec(self) -> ImageSpec:
        return ImageSpec(3, 32, 32, classes=10, mean=(0.4914, 0.4822, 0.4465), std=(0.2470, 0.2435, 0.2616))

    def check(self, folder: Path) -> None:
        """Download what is missing; RequestError where it cannot be had or is damaged."""
        from torchvision.datasets import CIFAR10 as Source

        try:
            Source(str(folder), train=True, download=True)
        except (OSError, RuntimeError) as error:
            raise RequestError(
                f"cifar10: not found whole under {folder} ({folder / 'cifar-10-batches-py'} is missing or damaged), "
                f"and it could not be downloaded: {error}"
            ) from error

    def training_images(self, folder: Path) -> int:
        return self.train_size or 50000

    def load(self, folder: Path) -> Splits:
        from torchvision.datasets import CIFAR10 as Source

        train, test = (Source(str(folder), train=part) for part in (True, False))
        return Splits(
            labelled(train.data.transpose(0, 3, 1, 2), train.targets),
            labelled(test.data.transpose(0, 3, 1, 2), test.targets),
        )
