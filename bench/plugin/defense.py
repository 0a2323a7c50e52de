"""What every kind of defense shares. Each kind has a file of its own here, and one in ``bench.cell`` that runs it."""

from collections.abc import Callable
from typing import ClassVar, Literal

from torch import Tensor

from bench.plugin.base import Plugin
from bench.plugin.values import Prediction

Knowledge = Literal["none", "clean", "suspects"]
Guard = Callable[[Tensor], Prediction]


class Defense(Plugin):
    """Base of every kind of defense. ``knowledge`` says what the defender must be given."""

    kind: ClassVar[str] = "defense"
    knowledge: ClassVar[Knowledge] = "clean"

    @property
    def wants_pairs(self) -> bool:
        """Whether the clean original of every suspected image is wanted too."""
        return False
