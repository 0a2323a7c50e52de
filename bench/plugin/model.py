"""Models: the base class."""

from abc import abstractmethod
from typing import ClassVar

from torch import nn

from bench.plugin.base import Plugin
from bench.plugin.values import ImageSpec


class Model(Plugin):
    """A network architecture."""

    kind: ClassVar[str] = "model"

    @abstractmethod
    def build(self, spec: ImageSpec) -> nn.Module:
        """A freshly initialised network from images (N, C, H, W) in [0, 1] to logits (N, classes).

        It normalises the images itself, with ``spec.mean`` and ``spec.std``.
        """
