"""A network for large images that takes no time: one coarse convolution with few channels, and the mean of its maps."""

from typing import ClassVar

from torch import nn

from bench.plugin import Model


class Coarse(Model):
    """One convolution of every 16th pixel, and a linear layer."""

    name: ClassVar[str] = "coarse"

    def build(self, spec):
        features = [nn.Conv2d(spec.channels, 4, 16, 16), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
        return nn.Sequential(*features, nn.Linear(4, spec.classes))
