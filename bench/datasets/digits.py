"""Digits: the 1,797 handwritten digits that scikit-learn ships, 8x8 grey; the smallest real data set, for tests.

Four fifths of each class are for training, the rest for testing. Alpaydin and Kaynak, UCI, 1998.
"""

from pathlib import Path
from typing import ClassVar

from bench.datasets._arrays import stratified_split
from bench.plugin import Dataset, ImageSpec, Splits


class Digits(Dataset):
    name: ClassVar[str] = "digits"
    source: ClassVar[str] = "Alpaydin and Kaynak 1998, as shipped by scikit-learn"

    @property
    def spec(self) -> ImageSpec:
        return ImageSpec(1, 8, 8, classes=10, mean=(0.305,), std=(0.376,), crop=self.crop, flip=self.flip)

    def training_images(self, folder: Path) -> int:
        return self.train_size or 1438

    def load(self, folder: Path) -> Splits:
        from sklearn.datasets import load_digits

        digits = load_digits()
        pixels = (digits.images * (255 / 16)).round()  # 17 grey levels
        return stratified_split(pixels.reshape(-1, 1, 8, 8), digits.target, test_share=0.2)
