"""What all kinds of defenses share. Each kind has a file beside this one, and a file in ``bench.cell`` that runs it."""

from collections.abc import Callable
from typing import ClassVar

from torch import Tensor

from bench.plugin.base import Plugin
from bench.plugin.values import Knowledge, Prediction

Guard = Callable[[Tensor], Prediction]


class Defense(Plugin):
    """Base of all kinds of defenses.

    ``knowledge`` is the threat model: the defender has nothing, a clean reference set, or also suspected images.
    ``identifies`` declares that it says which classes are a backdoor's targets, by ``Context.note_class_statistic``:
    ``bench scan`` then asks it about networks that somebody else has trained.
    """

    kind: ClassVar[str] = "defense"
    knowledge: ClassVar[Knowledge] = "clean"
    identifies: ClassVar[bool] = False

    @property
    def wants_pairs(self) -> bool:
        """Whether the defense also needs the clean original of every suspected image."""
        return False

    @property
    def told(self) -> str:
        """What its parameters tell it beside its ``knowledge`` and no defender knows, in a few words; "" for nothing.

        What is told more is ranked among its like. Here: whether a parameter ``poisoned_class`` is set. A plugin that
        calls such a parameter by another name overrides this.
        """
        return "the class to repair" if getattr(self, "poisoned_class", None) is not None else ""
