"""A plugin that is examined, with what has been found out about it so far."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Any, TypeVar

from bench.plan.registry import KINDS, Registry
from bench.plugin.base import Plugin
from bench.testing.quick import quick

Made = TypeVar("Made")


@dataclass
class Subject:
    """A plugin that is examined.

    given: parameters that were asked for; all others are the plugin's own, or lowered (``bench.testing.quick``).
    folder: where data sets lie, or None. loading: what its import left changed, in words. kept: results of runs that
    several properties look at, by name.
    """

    plugin: type[Plugin]
    given: dict[str, Any] = field(default_factory=dict)
    built_in: bool = False
    folder: Path | None = None
    loading: tuple[str, ...] = ()
    kept: dict[str, Any] = field(default_factory=dict)

    @property
    def kind(self) -> str:
        return getattr(self.plugin, "kind", "plugin")

    @property
    def title(self) -> str:
        """Such as "defense refresh"."""
        return f"{self.kind} {getattr(self.plugin, 'name', self.plugin.__name__)}"

    @cached_property
    def quick(self) -> Plugin:
        """The plugin as it is run here. Raises what its constructor raises."""
        return quick(self.plugin, self.given, built_in=self.built_in)

    def once(self, name: str, make: Callable[[], Made], *, again: bool = False) -> Made:
        """What ``make`` gives, made once for all properties that look at it; ``again``: made anew, and not kept."""
        if again:
            return make()
        if name not in self.kept:
            self.kept[name] = make()
        kept: Made = self.kept[name]
        return kept


def subject_of(plugin: type[Plugin] | Plugin, folder: Path | None = None) -> Subject:
    """A plugin's class, or a plugin with parameters, to be examined. Raises TypeError for anything else."""
    of = plugin if inspect.isclass(plugin) else type(plugin)
    if not issubclass(of, Plugin):
        raise TypeError(f"{plugin!r}: expected a plugin: a subclass of Dataset, Model, Attack or a kind of Defense")
    given = {} if isinstance(plugin, type) else {name: getattr(plugin, name) for name in plugin.model_fields_set}
    return Subject(of, given, _is_built_in(of), folder)


def _is_built_in(plugin: type[Plugin]) -> bool:
    return f"{plugin.__module__}:{plugin.__name__}" in _built_in()


@cache
def _built_in() -> set[str]:
    registry = Registry(lazily=True)
    return {entry.target for kind in KINDS for entry in registry.entries(kind) if entry.is_built_in}
