"""What a property is, how a family of them is declared, and what is found of one."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from bench.testing.subject import Subject

KINDS = ("dataset", "model", "attack", "defense")
Check = Callable[["Subject"], str]
Status = Literal["ok", "failed", "not applicable"]


@dataclass(frozen=True)
class Property:
    """Something that every plugin of some kinds does.

    name: one word or a few with hyphens. expected: what a proper plugin does, in words that go on after "expected".
    runs: whether the plugin is run for it; the others take milliseconds. check: says what it has found of a plugin that
    has the property, or ""; raises ``Unmet`` or ``Inapplicable`` for another.
    """

    name: str
    expected: str
    kinds: tuple[str, ...]
    runs: bool
    check: Check


@dataclass(frozen=True)
class Finding:
    """What was found of one property.

    found: what was seen instead; where the property is not applicable, why; else a few words, or "".
    """

    property: Property
    status: Status
    found: str
    expected: str

    def __str__(self) -> str:
        if self.status == "failed":
            return f"{self.property.name}: found {self.found}; expected {self.expected}"
        if self.status == "not applicable":
            return f"{self.property.name}: not applicable: {self.found}"
        return f"{self.property.name}: {self.expected}" + (f" ({self.found})" if self.found else "")


class Unmet(Exception):
    """A plugin does not have a property. ``expected`` where the property's own words do not say it."""

    def __init__(self, found: str, expected: str | None = None) -> None:
        super().__init__(found, expected)
        self.found, self.expected = found, expected


class Inapplicable(Exception):
    """A property says nothing about this plugin; the message says why."""


class Family:
    """The properties of one file, in the order in which they stand there."""

    def __init__(self, *kinds: str, runs: bool = True) -> None:
        self.kinds, self.runs = kinds or KINDS, runs
        self.properties: list[Property] = []

    def property(self, name: str, expected: str, *kinds: str) -> Callable[[Check], Check]:
        """Declares the decorated function as the check of a property."""

        def enter(check: Check) -> Check:
            self.properties.append(Property(name, expected, kinds or self.kinds, self.runs, check))
            return check

        return enter
