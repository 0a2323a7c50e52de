"""A fact about a process that later stages may depend on."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from bench.records.texts import printable

UNREADABLE = "unreadable"


def differs(fact: "Fact", before: Any, after: Any) -> str | None:
    """The usual words; None if the two values are equal."""
    if before == after:
        return None
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        names = [str(name) for name in {**before, **after} if before.get(name) != after.get(name)]
        return f"{fact.what} changed ({printable(', '.join(names), 100)})"
    return f"{fact.what} changed ({printable(str(after), 60)})" if fact.is_short else f"{fact.what} changed"


@dataclass(frozen=True)
class Fact:
    """``told``: words that go on after "left", given the values before and after; None if nothing need be said.

    ``is_short``: whether the value says something to a person.
    """

    what: str
    read: Callable[[], Any]
    restore: Callable[[Any], object] | None = None
    told: Callable[["Fact", Any, Any], str | None] = differs
    is_short: bool = True


def value(fact: Fact) -> Any:
    """Its value now; ``UNREADABLE`` if it cannot be told, as where two flags of torch contradict each other."""
    try:
        return fact.read()
    except Exception:  # of torch, or of what a plugin put in its place
        return UNREADABLE
