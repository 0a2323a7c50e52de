"""From what a person asks to have checked, files and names, to the plugins that are examined."""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from bench.errors import RequestError, shortened
from bench.plan.entries import Entry
from bench.plan.parameter_check import split_values
from bench.plan.registry import KINDS, Registry
from bench.plan.selection import Choice, parse
from bench.plugin.base import Plugin
from bench.plugin.parameters import unknown
from bench.testing.subject import Subject
from bench.testing.watched import watched


def asked(wanted: Sequence[str], files: Sequence[Path], folder: Path) -> list[Subject]:
    """The plugins that are meant, each once.

    wanted: files of plugins, of which all are examined, and selections: a name, a glob, ``name[param=value]`` or
    ``kind:name``. files: more files, whose plugins can be named. folder: where data sets lie. Raises RequestError, in
    one line, for what cannot be found or read.
    """
    if not wanted:
        raise RequestError("check: expected one or more files or names of plugins")
    paths = [Path(one).resolve() for one in wanted if one.endswith(".py")]
    seen = watched(lambda: _subjects(wanted, [*files, *paths], folder))
    if seen.error is not None:
        raise seen.error
    subjects: list[Subject] = seen.value
    for subject in subjects:
        subject.loading = () if subject.built_in else seen.changes
    return subjects


def _subjects(wanted: Sequence[str], files: Sequence[Path], folder: Path) -> list[Subject]:
    registry = Registry(list(dict.fromkeys(files)))
    found: dict[str, Subject] = {}
    for one in wanted:
        of_one = _in_file(Path(one).resolve(), registry) if one.endswith(".py") else _named(one, registry)
        for subject in of_one:
            subject.folder = folder
            found.setdefault(f"{subject.plugin} {subject.given}", subject)
    return list(found.values())


def _in_file(path: Path, registry: Registry) -> Iterator[Subject]:
    of_file = [entry for kind in KINDS for entry in registry.entries(kind) if entry.origin == str(path)]
    hidden = [line for line in registry.problems if str(path) in line]
    if not of_file:
        line = hidden[0] if hidden else f"{path}: expected a class of kind {', '.join(KINDS)} with a name; found none"
        raise RequestError(f"check {line.removeprefix('--plugin ')}")
    for entry in of_file:
        yield Subject(_class_of(entry, registry))


def _class_of(entry: Entry, registry: Registry) -> type[Plugin]:
    """The class of a plugin, also of one whose presets are broken: a property says so."""
    try:
        return registry.load(entry.kind, entry.name)
    except RequestError:
        found: Any = getattr(sys.modules.get(entry.module), entry.target.partition(":")[2], None)
        if isinstance(found, type) and issubclass(found, Plugin):
            return found
        raise


def _named(text: str, registry: Registry) -> Iterator[Subject]:
    kind, colon, rest = text.partition(":")
    kinds = [kind] if colon and kind in KINDS else list(KINDS)
    for choice in parse(rest if colon and kind in KINDS else text):
        fitting = [(of, name) for of in kinds for name in _names(of, choice, registry)]
        if not fitting:
            names = [entry.name for of in kinds for entry in registry.entries(of)]
            raise RequestError(f"check: {unknown('plugin', shortened(choice.pattern), sorted(set(names)))}")
        for of, name in fitting:
            plugin = registry.load(of, name)
            preset = registry.preset(of, name, choice.preset) if choice.preset is not None else {}
            given = {**preset, **split_values(plugin, choice.parameters)}
            registry.create(of, name, given)  # so that a wrong parameter is refused before anything is examined
            yield Subject(plugin, given, registry.entry(of, name).is_built_in)


def _names(kind: str, choice: Choice, registry: Registry) -> list[str]:
    names = [entry.name for entry in registry.entries(kind)]
    if choice.is_name:
        return [choice.pattern] if choice.pattern in names else []
    try:
        return registry.select(kind, choice)
    except RequestError:  # of no plugin of this kind
        return []
