"""Repairs: defenses that change the network."""

from abc import abstractmethod
from typing import ClassVar

from torch import nn

from bench.plugin.defense import Defense
from bench.plugin.values import Context, Known


class Repair(Defense):
    """A defense that changes the network.

    ``changes_nothing`` declares that ``repair`` returns the network as it is. The cell then has the victim's stored
    predictions, and the network is not asked again. A repair that declares it and changes a weight fails.
    """

    changes_nothing: ClassVar[bool] = False

    @abstractmethod
    def repair(self, model: nn.Module, known: Known, context: Context) -> nn.Module:
        """The repaired network. ``model``, a copy of the victim's in eval mode, may be changed."""
