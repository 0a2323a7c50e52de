"""What a stage changed in its process: a snapshot before it, a comparison after it, and the way back.

A worker lives long, and a stage's result must depend on its key alone: a plugin that leaves the default dtype changed,
a hook registered or a function replaced would change the figures of all that is computed there later.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bench.engine import replaced
from bench.engine.fact import UNREADABLE, Fact, value
from bench.engine.process_facts import process_facts, urgent_facts
from bench.engine.replaced import Loaded
from bench.engine.torch_facts import torch_facts

URGENT = list(urgent_facts())
FACTS = [*URGENT, *torch_facts(), *process_facts()]
_TRIES = range(3)  # to put one thing back; made beforehand, since a handler may raise in every call


@dataclass(frozen=True)
class Snapshot:
    """The state of this process; made by ``take``."""

    _values: list[Any]
    _modules: list[Loaded]

    @classmethod
    def take(cls) -> "Snapshot":
        """Now. Takes a millisecond or two."""
        return cls([value(fact) for fact in FACTS], replaced.take())

    def changes(self) -> tuple[str, ...]:
        """What has changed since, in words that go on after "left"; empty if nothing has."""
        told = []
        for fact, before in zip(FACTS, self._values, strict=True):
            try:
                words = fact.told(fact, before, value(fact))
            except Exception:  # of what a plugin put there
                words = f"{fact.what} changed"
            if words is not None:
                told.append(words)
        try:
            told += replaced.told(self._modules)
        except Exception:  # such as where a plugin replaced what this is made of
            told.append("functions replaced")
        return tuple(told)

    def restore(self) -> None:
        """Put back what can be put back. ``changes`` then says what could not."""
        facts = list(zip(FACTS, self._values, strict=True))
        for fact, before in facts[: len(URGENT)]:
            persistently(_restore, fact, before)
        persistently(replaced.restore, self._modules)
        for fact, before in facts[len(URGENT) :]:
            persistently(_restore, fact, before)


def _restore(fact: Fact, before: Any) -> None:
    if fact.restore is not None and before is not UNREADABLE and fact.told(fact, before, value(fact)) is not None:
        fact.restore(before)


def persistently(do: Callable[..., None], *given: Any) -> None:
    """Call it until it raises nothing: signal handlers that a plugin left may raise in it."""
    for _ in _TRIES:
        try:
            do(*given)
            return
        except Exception:
            continue
