"""The plugins that a module of a one-file plugin defines, as they are entered, and why it has none."""

import inspect
from types import ModuleType
from typing import TYPE_CHECKING

from bench.errors import RequestError
from bench.plan.entries import Entry
from bench.plan.parameter_check import default_problem
from bench.plan.plugin_files import PluginFile
from bench.plan.presets import problem_of

if TYPE_CHECKING:
    from bench.plugin.base import Plugin

KINDS = ("dataset", "model", "attack", "defense")


def entries_in(module: ModuleType, file: PluginFile, *, make: bool) -> list[Entry]:
    """Its plugins: concrete classes with a name. Imported ones do not count.

    make: try whether each can be made from its defaults, which runs code of it. Raises RequestError, with the class's
    name, for one that breaks a rule, and where there is none.
    """
    from bench.plugin.base import Plugin

    classes = [
        value
        for value in vars(module).values()
        if inspect.isclass(value) and (file.is_object or value.__module__ == module.__name__)
    ]
    entries = [
        _entry(one, module, file, make)
        for one in classes
        if issubclass(one, Plugin) and not inspect.isabstract(one) and getattr(one, "name", None)
    ]
    if not entries:
        raise RequestError(f"expected a class of kind {', '.join(KINDS)} with a name; {_why_none(classes)}")
    return entries


def _entry(plugin: "type[Plugin]", module: ModuleType, file: PluginFile, make: bool) -> Entry:
    from bench.plugin import rules

    rules.check_name(plugin)
    if make and (problem := default_problem(plugin)):
        raise RequestError(f"class {plugin.__name__}: {problem}")
    summary = str(plugin.__doc__ or module.__doc__ or "").strip().partition("\n")[0]
    target = f"{module.__name__}:{plugin.__name__}"
    return Entry(plugin.kind, plugin.name, target, str(file.path), summary, problem_of(plugin), file.digits)


def _why_none(classes: list[type]) -> str:
    """What keeps the first of the classes from being a plugin."""
    from bench.plugin import rules

    reasons = ((one.__name__, rules.what_is_missing(one)) for one in classes)
    return next((f"class {name}: {why}" for name, why in reasons if why), "found none")
