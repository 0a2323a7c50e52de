"""The columns to compare with, which know what no defender knows."""

from abc import abstractmethod

from torch import nn

from bench.plugin.defense import Defense
from bench.plugin.values import Context, Known, Secret


class Oracle(Defense):
    """No defense but a column to compare with: it is told what no defender knows, and is never ranked."""

    @abstractmethod
    def reveal(self, model: nn.Module, known: Known, secret: Secret, context: Context) -> nn.Module:
        """A network made with the help of ``secret``. ``model`` is a copy in eval mode that may be changed."""
