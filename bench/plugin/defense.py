"""The plugin kinds of the defenses."""

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Literal

from torch import Tensor, nn

from bench.plugin.attack import Attack
from bench.plugin.base import Plugin
from bench.plugin.dataset import Dataset
from bench.plugin.model import Model
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


@dataclass(frozen=True)
class Case:
    """One combination that a plugin may decline."""

    dataset: Dataset
    model: Model
    attack: Attack
    defense: Defense

    @property
    def network(self) -> nn.Module:
        """An untrained network of this case's model, to look at its layers and not to change: other cases share it."""
        wanted = f"{type(self.model)} {self.model!r} {self.dataset.spec}"
        if wanted not in _untrained:
            _untrained.clear()
            _untrained[wanted] = self.model.build(self.dataset.spec)
        return _untrained[wanted]


_untrained: dict[
    str, nn.Module
] = {}  # the last one that was looked at, by its model with all parameters and its images
