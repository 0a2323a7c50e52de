"""Oracles: columns to compare with, which know what no defender knows."""

from abc import abstractmethod

from torch import nn

from bench.plugin.defense import Defense
from bench.plugin.values import Context, Known, Secret


class Oracle(Defense):
    """A column to compare defenses with: it knows what no defender knows, and is never ranked."""

    @abstractmethod
    def reveal(self, model: nn.Module, known: Known, secret: Secret, context: Context) -> nn.Module:
        """A network that makes use of ``secret``. ``model``, a copy of the victim's in eval mode, may be changed."""
