"""CIFAR-10: 50,000 training and 10,000 test photographs of 32x32 pixels in ten classes.

Downloaded at first use (170 MB) and checked against the official MD5 sums. Krizhevsky, 2009.
"""

from typing import Any, ClassVar

from bench.datasets._cifar import CIFAR


class CIFAR10(CIFAR):
    name: ClassVar[str] = "cifar10"
    source: ClassVar[str] = "Krizhevsky 2009"
    directory: ClassVar[str] = "cifar-10-batches-py"
    labels: ClassVar[str] = "labels"
    mean: ClassVar[tuple[float, ...]] = (0.4914, 0.4822, 0.4465)
    std: ClassVar[tuple[float, ...]] = (0.2470, 0.2435, 0.2616)
    class_names: ClassVar[tuple[str, ...]] = (
        "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
    )  # fmt: skip

    @property
    def reader(self) -> Any:
        from torchvision.datasets import CIFAR10 as Reader

        return Reader
