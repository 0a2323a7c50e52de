"""Four classes of noise in colour, each with a bright square in its corner: 32 pixels, as BackdoorBench has them."""

from typing import ClassVar

import torch

from bench.plugin import Dataset, ImageSpec, LabelledImages, Splits


class Squares(Dataset):
    """Noise with a bright square."""

    name: ClassVar[str] = "squares"

    @property
    def spec(self):
        return ImageSpec(3, 32, 32, classes=4, mean=(0.3, 0.4, 0.5), std=(0.2, 0.25, 0.3))

    def load(self, folder):
        labels = torch.arange(80) % 4
        images = torch.randint(0, 120, (80, 3, 32, 32), generator=torch.Generator().manual_seed(5), dtype=torch.uint8)
        for image, label in zip(images, labels.tolist(), strict=True):
            row, column = 16 * (label // 2), 16 * (label % 2)
            image[:, row : row + 16, column : column + 16] += 90
        return Splits(LabelledImages(images[:48], labels[:48]), LabelledImages(images[48:], labels[48:]))
