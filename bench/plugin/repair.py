"""Repairs: defenses that change the network."""

from abc import abstractmethod

from torch import nn

from bench.plugin.defense import Defense
from bench.plugin.values import Context, Known


class Repair(Defense):
    """A defense that changes the network."""

    @abstractmethod
    def repair(self, model: nn.Module, known: Known, context: Context) -> nn.Module:
        """The repaired network. ``model``, a copy of the victim's in eval mode, may be changed."""
