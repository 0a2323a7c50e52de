"""What a stage changed in its process: a snapshot before it, a comparison after it, and the way back.

A worker lives long, and a stage's result must depend on its key alone: a plugin that leaves the default dtype changed,
a hook registered or a function replaced would change the figures of all that is computed there later.
"""

from dataclasses import dataclass
from typing import Any

from bench.engine import process_facts, replaced
from bench.engine.replaced import Loaded


@dataclass(frozen=True)
class Snapshot:
    """The state of this process; made by ``take``."""

    _values: list[Any]
    _modules: list[Loaded]

    @classmethod
    def take(cls) -> "Snapshot":
        """Now. Takes about a millisecond."""
        return cls(process_facts.values(), replaced.take())

    def changes(self) -> tuple[str, ...]:
        """What has changed since, in words that go on after "left"; empty if nothing has."""
        told = []
        for fact, before, after in zip(process_facts.FACTS, self._values, process_facts.values(), strict=True):
            try:
                words = fact.told(fact, before, after)
            except Exception:  # of what a plugin put there
                words = f"{fact.what} changed"
            if words is not None:
                told.append(words)
        return *told, *replaced.told(self._modules)

    def restore(self) -> None:
        """Put back what can be put back."""
        replaced.restore(self._modules)
        for fact, before, after in zip(process_facts.FACTS, self._values, process_facts.values(), strict=True):
            if fact.restore is not None and before is not process_facts.UNREADABLE:
                try:
                    if fact.told(fact, before, after) is not None:
                        fact.restore(before)
                except Exception:  # another look afterwards says what is still changed
                    continue
