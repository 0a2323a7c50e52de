"""Examine a plugin: all properties of its kind, one after the other."""

from collections.abc import Iterator
from importlib import import_module

from bench.errors import one_line
from bench.testing.properties import Finding, Inapplicable, Property, Unmet
from bench.testing.subject import Subject
from bench.testing.watched import watched

FAMILIES = ("declared", "bounds", "loading", "defenses", "attacks", "models", "datasets", "footprint")


def properties_of(kind: str, *, runs: bool | None = None) -> list[Property]:
    """The properties of a kind of plugin, in the order in which they are examined; with ``runs`` one sort of them."""
    families = [import_module(f"bench.testing.{name}").FAMILY for name in FAMILIES]
    every = [one for family in families for one in family.properties if kind in one.kinds]
    return [one for one in every if runs is None or one.runs == runs]


def examine(subject: Subject, properties: list[Property] | None = None) -> Iterator[Finding]:
    """What is found of each property, as soon as it is; all of the subject's kind by default."""
    for one in properties_of(subject.kind) if properties is None else properties:
        yield look(subject, one)


def look(subject: Subject, of: Property) -> Finding:
    """What is found of one property. Nothing that the plugin raises or changes gets out, but for KeyboardInterrupt."""
    seen = watched(lambda: of.check(subject))
    if isinstance(seen.error, Unmet):
        return Finding(of, "failed", seen.error.found, seen.error.expected or of.expected)
    if isinstance(seen.error, Inapplicable):
        return Finding(of, "not applicable", str(seen.error), of.expected)
    if seen.error is not None:
        return Finding(of, "failed", f"that it raises {one_line(seen.error)}", of.expected)
    return Finding(of, "ok", str(seen.value), of.expected)
