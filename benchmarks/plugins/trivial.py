"""Plugins that do next to nothing: what remains of a run is what scheduling costs."""

from typing import ClassVar

import torch
from torch import nn

from bench.plugin import Attack, Dataset, ImageSpec, LabelledImages, Model, Repair, Splits


class Specks(Dataset):
    """Forty black images of 4 x 4 pixels, for training and for testing."""

    name: ClassVar[str] = "specks"

    @property
    def spec(self):
        return ImageSpec(1, 4, 4, classes=2, mean=(0.5,), std=(0.25,))

    def load(self, folder):
        images = LabelledImages(torch.zeros(40, 1, 4, 4, dtype=torch.uint8), torch.arange(40) % 2)
        return Splits(images, images)


class Linear(Model):
    """A linear layer."""

    name: ClassVar[str] = "linear"

    def build(self, spec):
        return nn.Sequential(nn.Flatten(), nn.Linear(16, spec.classes))


class Brighten(Attack):
    """Makes all pixels a little brighter."""

    name: ClassVar[str] = "brighten"
    n: int = 0

    def trigger(self, images, context):
        return images + 0.1


class Nothing(Repair):
    """Returns the network as it is."""

    name: ClassVar[str] = "nothing"
    n: int = 0

    def repair(self, model, known, context):
        return model
