"""The plugin kinds of the defenses."""

from abc import abstractmethod
from collections.abc import Callable
from typing import ClassVar, Literal

from torch import Tensor, nn

from bench.plugin.base import Plugin
from bench.plugin.values import (
    Context,
    Known,
    Prediction,
    Secret,
)

Knowledge = Literal["none", "clean", "suspects"]
Guard = Callable[[Tensor], Prediction]


class Defense(Plugin):
    """Base of the two kinds of defense. ``knowledge`` says what the defender must be given."""

    kind: ClassVar[str] = "defense"
    knowledge: ClassVar[Knowledge] = "clean"

    @property
    def wants_pairs(self) -> bool:
        """Whether the clean original of every suspected image is wanted too."""
        return False


class Repair(Defense):
    """A defense that changes the network."""

    @abstractmethod
    def repair(self, model: nn.Module, known: Known, context: Context) -> nn.Module:
        """A repaired network. ``model`` is a copy in eval mode that may be changed."""


class Runtime(Defense):
    """A defense that guards inference and leaves the network as it is."""

    @property
    def learns_from_stream(self) -> bool:
        """Whether the guard learns from what it sees: it is then given one input at a time, in a fixed order."""
        return False

    @abstractmethod
    def guard(self, model: nn.Module, known: Known, context: Context) -> Guard:
        """A callable: images (N, C, H, W) in [0, 1] to a Prediction; the same at any batch size."""


class Oracle(Defense):
    """No defense but a column to compare with: it is told what no defender knows, and is never ranked."""

    @abstractmethod
    def reveal(self, model: nn.Module, known: Known, secret: Secret, context: Context) -> nn.Module:
        """A network made with the help of ``secret``. ``model`` is a copy in eval mode that may be changed."""
