"""From names to plugins: built-in and installed ones by entry points, one-file plugins by path.

A plugin's module is imported when the plugin is first used, so listing is fast and a broken plugin harms no other. Only
one-file plugins are imported at once.
"""

import ast
import hashlib
import importlib
import importlib.util
import inspect
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, get_origin

from bench.errors import RequestError, one_line, shortened
from bench.plan import fingerprints
from bench.plan.blame import blaming
from bench.plan.parameter_check import check_parameters
from bench.plan.selection import Choice
from bench.plugin.parameters import explained, unknown

if TYPE_CHECKING:
    from bench.plugin.base import Plugin

_NAME = re.compile(r"[\w.-]+")  # what a selection can name
BUILT_IN = "built-in"  # the origin of this project's own plugins
KINDS = ("dataset", "model", "attack", "defense")


@dataclass(frozen=True)
class Entry:
    """A plugin as it is listed. ``target`` is "module:Class"; ``problem`` says why it cannot be used."""

    kind: str
    name: str
    target: str
    origin: str
    summary: str = ""
    problem: str | None = None
    fingerprint: str = ""  # of a one-file plugin's text, part of its version: an edited file has other keys

    @property
    def module(self) -> str:
        """The name of the module that defines it."""
        return self.target.partition(":")[0]

    @property
    def is_built_in(self) -> bool:
        """Whether the plugin is this project's own."""
        return self.origin == BUILT_IN


class Registry:
    """All available plugins.

    problems: a line for every plugin that could not be entered. skipped: a line for every broken plugin that a glob or
    "all" has left out.
    """

    def __init__(self, files: Sequence[Path] = ()) -> None:
        self.files = tuple(files)
        self.problems: list[str] = []
        self.skipped: list[str] = []
        self._entries: dict[tuple[str, str], Entry] = {}
        self._fingerprints: dict[tuple[str, str], str] = {}
        for kind in KINDS:
            for point in sorted(entry_points(group=f"bench.{kind}s"), key=lambda point: point.name):
                package = point.dist.name if point.dist else "unknown"
                origin = BUILT_IN if package == "defensebench" else f"package {package}"
                self._add(_described(Entry(kind, point.name, point.value, origin)))
        for file in self.files:
            self._add_file(file)

    def entries(self, kind: str) -> list[Entry]:
        """The plugins of a kind in alphabetical order, ``none`` first."""
        return sorted(
            (entry for entry in self._entries.values() if entry.kind == kind),
            key=lambda entry: (entry.name != "none", entry.name),
        )

    def select(self, kind: str, choice: Choice) -> list[str]:
        """The names of the plugins that a choice means. Globs and "all" leave out broken plugins.

        Raises RequestError if there are none, or if the plugin that is named is broken or unknown.
        """
        if choice.is_name:
            self.load(kind, choice.pattern)
            return [choice.pattern]
        every_name = [entry.name for entry in self.entries(kind)]
        names = [name for name in every_name if choice.pattern == "all" or fnmatchcase(name, choice.pattern)]
        usable = [name for name in names if self._loads(kind, name) and not self.load(kind, name).by_name_only]
        if not usable:
            raise RequestError(f"{kind} {shortened(choice.pattern)!r}: matches none of {', '.join(every_name)}")
        return usable

    def entry(self, kind: str, name: str) -> Entry:
        """The entry of a plugin. Raises RequestError if it is unknown, with the nearest name, or broken."""
        entry = self._entries.get((kind, name))
        if entry is None:
            raise RequestError(unknown(kind, shortened(name), [entry.name for entry in self.entries(kind)]))
        if entry.problem is not None:
            raise RequestError(f"{kind} {name!r} is broken: {entry.problem}")
        return entry

    def load(self, kind: str, name: str) -> "type[Plugin]":
        """The class of a plugin. Raises RequestError if it is unknown or cannot be imported."""
        entry = self.entry(kind, name)
        module, _, attribute = entry.target.partition(":")
        try:
            plugin = getattr(importlib.import_module(module), attribute)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # whatever a plugin's module raises, it is that plugin's problem
            raise RequestError(f"{kind} {name!r} is broken: {one_line(error)}") from error
        return _checked(plugin, kind, name)

    def create(self, kind: str, name: str, parameters: dict[str, Any]) -> "Plugin":
        """A plugin with these parameters. Raises RequestError for a wrong one, with its bound."""
        from pydantic import ValidationError

        plugin = self.load(kind, name)
        with blaming(f"{kind} {name!r}", "making it"):
            try:
                made = plugin(**{name: _split(plugin, name, value) for name, value in parameters.items()})
            except ValidationError as error:
                line = shortened(explained(error, plugin.model_fields), 1000)
                raise RequestError(f"{kind} {name!r}: {line}") from error
        check_parameters(made)
        return made

    def version(self, kind: str, name: str) -> str:
        """The version in keys: the plugin's ``version``; for a one-file plugin also the fingerprint of its text."""
        fingerprint = self.entry(kind, name).fingerprint
        with blaming(f"{kind} {name!r}", "version"):
            version = str(self.load(kind, name).version)
        return f"{version}+{fingerprint}" if fingerprint else version

    def fingerprint(self, kind: str, name: str) -> str:
        """The fingerprint of a plugin's code, helper modules included: 16 digits (``bench.plan.fingerprints``).

        It is computed once, because a running process does not reload changed code. Raises RequestError for a plugin
        that is unknown or broken.
        """
        entry = self.entry(kind, name)
        if (kind, name) not in self._fingerprints:
            plugin = self.load(kind, name)
            file = Path(inspect.getfile(plugin))
            one_file = entry.fingerprint != ""
            self._fingerprints[kind, name] = (
                fingerprints.of_file(file) if one_file else fingerprints.of_module(plugin.__module__, file)
            )
        return self._fingerprints[kind, name]

    def _loads(self, kind: str, name: str) -> bool:
        try:
            self.load(kind, name)
        except RequestError as error:
            self.skipped.append(str(error))
            return False
        return True

    def _add(self, entry: Entry) -> None:
        earlier = self._entries.get((entry.kind, entry.name))
        if earlier is not None:
            self.problems.append(
                f"{entry.kind} {entry.name!r} of {entry.origin}: {earlier.origin} has one of that name"
            )
        else:
            self._entries[entry.kind, entry.name] = entry

    def _add_file(self, file: Path) -> None:
        try:
            module, fingerprint = _load_file(file)
            entries = [_entry(plugin, module, file, fingerprint) for plugin in _plugins_in(module)]
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # whatever a user's file raises, it is that file's problem
            self.problems.append(f"--plugin {file}: {one_line(error)}")
            return
        if not entries:
            self.problems.append(
                f"--plugin {file}: expected a class of kind {', '.join(KINDS)} with a name; found none"
            )
        for entry in entries:
            self._add(entry)


def _load_file(file: Path) -> tuple[ModuleType, str]:
    """The module of a one-file plugin, run once a process, and the fingerprint of its text, 12 digits."""
    if not file.is_file():
        raise FileNotFoundError("no such file")
    fingerprint = hashlib.sha256(file.read_bytes()).hexdigest()[:12]
    path_digits = hashlib.sha256(str(file.resolve()).encode()).hexdigest()[:8]  # a copy elsewhere has other helpers
    name = f"bench_plugin_{fingerprint}_{path_digits}"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, file)
        if spec is None or spec.loader is None:
            raise ImportError("expected a Python file, NAME.py")
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        try:
            with _beside(file):
                spec.loader.exec_module(module)
            _check_helpers(file)
        except BaseException:
            del sys.modules[name]
            raise
    return sys.modules[name], fingerprint


@contextmanager
def _beside(file: Path) -> Iterator[None]:
    """While open, modules beside the file can be imported first of all, as by a script; afterwards last of all."""
    folder = str(file.parent)
    before = list(sys.path)
    sys.path.insert(0, folder)  # what Python does for a script; a plugin's file has helpers beside it as a script has
    try:
        yield
    finally:
        sys.path[:] = before if folder in before else [*before, folder]


def _check_helpers(file: Path) -> None:
    """Raise ImportError for a helper module beside the file if another module of its name is loaded instead."""
    for name, helper in fingerprints.modules(file.stem, file, file.parent, lambda other: True).items():
        loaded = getattr(sys.modules.get(name), "__file__", None)
        if helper != file and loaded is not None and not helper.samefile(loaded):
            raise ImportError(f"{helper} cannot be loaded: another module {name!r} was loaded before, {loaded}")


def _plugins_in(module: ModuleType) -> "list[type[Plugin]]":
    """The plugins that a module defines: concrete classes with a name. Imported ones do not count."""
    from bench.plugin.base import Plugin

    return [
        value
        for value in vars(module).values()
        if inspect.isclass(value)
        and issubclass(value, Plugin)
        and value.__module__ == module.__name__
        and not inspect.isabstract(value)
        and getattr(value, "name", None)
    ]


def _entry(plugin: "type[Plugin]", module: ModuleType, file: Path, fingerprint: str) -> Entry:
    if not (isinstance(plugin.name, str) and _NAME.fullmatch(plugin.name) and plugin.name != "all"):
        raise ValueError(
            f"class {plugin.__name__}: name={shortened(repr(plugin.name))}: expected letters, digits, _, . and -"
        )
    if getattr(plugin, "kind", None) not in KINDS:
        raise ValueError(f"class {plugin.__name__}: expected a subclass of Dataset, Model, Attack or a kind of Defense")
    summary = str(plugin.__doc__ or module.__doc__ or "").strip().partition("\n")[0]
    return Entry(
        plugin.kind, plugin.name, f"{module.__name__}:{plugin.__name__}", str(file), summary, None, fingerprint
    )


def _checked(plugin: Any, kind: str, name: str) -> "type[Plugin]":
    from bench.plugin.base import Plugin

    if not (inspect.isclass(plugin) and issubclass(plugin, Plugin) and plugin.kind == kind and plugin.name == name):
        raise RequestError(f"{kind} {name!r} is broken: expected a class of that kind and name, found {plugin!r}")
    return plugin


def _described(entry: Entry) -> Entry:
    """The entry with the first line of its module's docstring, or with its problem; the module is not imported."""
    module, _, attribute = entry.target.partition(":")
    try:
        spec = importlib.util.find_spec(module)
        if spec is None or spec.origin is None:
            raise ModuleNotFoundError(f"no module named {module!r}")
        tree = ast.parse(Path(spec.origin).read_text())
        if not any(getattr(node, "name", None) == attribute for node in tree.body):
            raise AttributeError(f"{spec.origin} defines no {attribute}")
    except Exception as error:  # a package that cannot even be found must not break the listing
        return Entry(entry.kind, entry.name, entry.target, entry.origin, problem=one_line(error))
    summary = (ast.get_docstring(tree) or "").partition("\n")[0]
    return Entry(entry.kind, entry.name, entry.target, entry.origin, summary)


def _split(plugin: "type[Plugin]", name: str, value: Any) -> Any:
    """The value of a parameter; one that takes several values is written ``a+b`` and becomes a list."""
    field = plugin.model_fields.get(name)
    if field is None or get_origin(field.annotation) is not tuple or isinstance(value, tuple | list):
        return value
    return value.split("+") if isinstance(value, str) else (value,)
