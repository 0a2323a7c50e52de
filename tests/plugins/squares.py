"""Four classes of noise in colour, each with a bright square in its corner, and a small network."""

from typing import ClassVar

import torch
from torch import nn

from bench.plugin import Dataset, ImageSpec, LabelledImages, Model, Splits


class Squares(Dataset):
    """Noise with a bright square."""

    name: ClassVar[str] = "squares"

    @property
    def spec(self):
        return ImageSpec(3, 16, 16, classes=4, mean=(0.3, 0.4, 0.5), std=(0.2, 0.25, 0.3))

    def load(self, folder):
        labels = torch.arange(80) % 4
        images = torch.randint(0, 120, (80, 3, 16, 16), generator=torch.Generator().manual_seed(5), dtype=torch.uint8)
        for image, label in zip(images, labels.tolist(), strict=True):
            row, column = 8 * (label // 2), 8 * (label % 2)
            image[:, row : row + 8, column : column + 8] += 90
        return Splits(LabelledImages(images[:48], labels[:48]), LabelledImages(images[48:], labels[48:]))


class Normalised(nn.Module):
    """Normalisation, and a network."""

    def __init__(self, net, spec):
        super().__init__()
        self.net = net
        self.register_buffer("mean", torch.tensor(spec.mean).view(-1, 1, 1))
        self.register_buffer("std", torch.tensor(spec.std).view(-1, 1, 1))

    def forward(self, images):
        return self.net((images - self.mean) / self.std)


class Small(Model):
    """A convolution, a normalisation, a linear layer."""

    name: ClassVar[str] = "small"

    def build(self, spec):
        layers = [nn.Conv2d(spec.channels, 8, 3, stride=2), nn.BatchNorm2d(8), nn.ReLU()]
        layers += [nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(32, spec.classes)]
        return Normalised(nn.Sequential(*layers), spec)
