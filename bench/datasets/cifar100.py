"""CIFAR-100: 50,000 training and 10,000 test photographs of 32x32 pixels in 100 classes.

Its labels are the fine ones, numbered as in the official files. Downloaded at first use (170 MB) and checked against
the official MD5 sums. Krizhevsky, 2009.
"""

from typing import Any, ClassVar

from bench.datasets._cifar import CIFAR
from bench.plugin import ImageSpec


class CIFAR100(CIFAR):
    name: ClassVar[str] = "cifar100"
    source: ClassVar[str] = "Krizhevsky 2009"
    directory: ClassVar[str] = "cifar-100-python"
    labels: ClassVar[str] = "fine_labels"

    @property
    def spec(self) -> ImageSpec:
        return ImageSpec(
            3,
            32,
            32,
            classes=100,
            mean=(0.5071, 0.4866, 0.4409),
            std=(0.2673, 0.2564, 0.2762),
            crop=self.crop,
            flip=self.flip,
        )

    @property
    def reader(self) -> Any:
        from torchvision.datasets import CIFAR100 as Reader

        return Reader
