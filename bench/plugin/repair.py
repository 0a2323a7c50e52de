"""The defenses that change the network."""

from abc import abstractmethod

from torch import nn

from bench.plugin.defense import Defense
from bench.plugin.values import Context, Known


class Repair(Defense):
    """A defense that changes the network."""

    @abstractmethod
    def repair(self, model: nn.Module, known: Known, context: Context) -> nn.Module:
        """A repaired network. ``model`` is a copy in eval mode that may be changed."""
