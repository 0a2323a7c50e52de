"""From names to plugins: built-in and installed ones by entry points, one-file plugins by path.

A plugin's module is imported when the plugin is first used, so listing is fast and a broken plugin harms no other. Only
one-file plugins are run at once, except by workers.
"""

import importlib
import inspect
import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from fnmatch import fnmatchcase
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.errors import RequestError, one_line, shortened
from bench.plan import fingerprints, plugin_files
from bench.plan.blame import Undoing, blaming
from bench.plan.entries import BUILT_IN, Entry, described, file_of, package_name
from bench.plan.module_plugins import KINDS as KINDS
from bench.plan.module_plugins import entries_in
from bench.plan.parameter_check import check_parameters, split_values
from bench.plan.plugin_files import PluginFile
from bench.plan.presets import presets_of, problem_of, unknown_preset
from bench.plan.selection import Choice
from bench.plugin.parameters import Preset, explained, unknown
from bench.records.texts import LONGEST

if TYPE_CHECKING:
    from bench.plan.stages import Ref
    from bench.plugin.base import Plugin

_codes: dict[tuple[str, str], str] = {}  # fingerprints of installed plugins when this process first planned with them


class Registry:
    """All available plugins.

    files: one-file plugins, by path or as they were read before. ``lazily``, as in workers: each is run when a plugin
    that it may define is first asked for, so that it does not touch the stages of others; installed plugins are not
    described. undoing: for foreign code that is run here. problems: a line for every plugin that could not be entered.
    skipped: a line for every broken plugin that a glob or "all" has left out.
    """

    def __init__(
        self, files: Sequence[Path | PluginFile] = (), *, lazily: bool = False, undoing: Undoing | None = None
    ) -> None:
        self._undoing, self._lazily = undoing, lazily
        self.files: tuple[PluginFile, ...] = ()
        self.problems: list[str] = []
        self.skipped: list[str] = []
        self._waiting: list[PluginFile] = []
        self._entries: dict[tuple[str, str], Entry] = {}
        self._fingerprints: dict[tuple[str, str], str] = {}
        self._same_code: set[tuple[str, str]] = set()
        points = entry_points()  # every call looks through all that is installed
        for kind in KINDS:
            group = points.select(group=f"bench.{kind}s")
            found = [Entry(kind, point.name, point.value, _origin(point)) for point in group]
            for entry in sorted(found, key=lambda entry: (entry.name, not entry.is_built_in, entry.origin)):
                self._add(entry if lazily else described(entry))
        for file in files:
            self._read(file)
        if not lazily:
            self._run_files()

    def entries(self, kind: str) -> list[Entry]:
        """The plugins of a kind in alphabetical order, ``none`` first."""
        self._run_files()
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
            self._run_files(kind, name)
            entry = self._entries.get((kind, name))
        if entry is None:
            if problem := next((line for line in self.problems if line.startswith("--plugin")), None):
                raise RequestError(problem)
            raise RequestError(unknown(kind, shortened(name), [entry.name for entry in self.entries(kind)]))
        if entry.problem is not None:
            raise RequestError(f"{kind} {name!r} is broken: {entry.problem}")
        return entry

    def load(self, kind: str, name: str) -> "type[Plugin]":
        """The class of a plugin. Raises RequestError if it is unknown or cannot be imported."""
        entry = self.entry(kind, name)
        _, _, attribute = entry.target.partition(":")
        try:
            with nullcontext() if entry.module in sys.modules else self.apart((kind, name)):
                plugin = getattr(importlib.import_module(entry.module), attribute)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # whatever a plugin's module raises, it is that plugin's problem
            raise RequestError(f"{kind} {name!r} is broken: {_said(error)}") from error
        return _checked(plugin, kind, name)

    def create(self, kind: str, name: str, parameters: dict[str, Any]) -> "Plugin":
        """A plugin with these parameters. Raises RequestError for a wrong one, with its bound."""
        from pydantic import ValidationError

        plugin = self.load(kind, name)
        given = split_values(plugin, parameters)
        with blaming(f"{kind} {name!r}", "making it"):
            try:
                with self.apart((kind, name)):
                    made = plugin(**given)
            except ValidationError as error:
                line = shortened(explained(error, plugin.model_fields), 1000)
                raise RequestError(f"{kind} {name!r}: {line}") from error
        check_parameters(made)
        return made

    def presets(self, kind: str, name: str) -> dict[str, Preset]:
        """The presets of a plugin by name. Raises RequestError as ``load``."""
        return presets_of(self.load(kind, name), built_in=self.entry(kind, name).is_built_in)

    def preset(self, kind: str, name: str, preset: str) -> Preset:
        """One of a plugin's presets. Raises RequestError if there is none of that name, with the nearest."""
        presets = self.presets(kind, name)
        if preset not in presets:
            raise unknown_preset(self.load(kind, name), preset, presets)
        return presets[preset]

    def made(self, ref: "Ref") -> "Plugin":
        """The plugin that ``ref`` stands for, run by the code that ``ref`` was made for. Raises as ``create``.

        Also raises RequestError if the plugin's code is another one here: it was edited since the run began.
        """
        plugin, name = self.create(ref.kind, ref.name, ref.parameters), (ref.kind, ref.name)
        if ref.fingerprint and name not in self._same_code:
            now = self._fingerprint(*name)  # after the import, so that no edit before it goes unseen
            if {now, self._fingerprints.setdefault(name, now)} != {ref.fingerprint}:
                raise RequestError(f"{ref.kind} {ref.name!r}: its code was edited while the run went on; run again")
            self._same_code.add(name)
        return plugin

    @contextmanager
    def asking(self, kind: str, name: str, what: str) -> Iterator[None]:
        """Open while code of a plugin runs here: ``blaming`` for what it raises, and ``apart`` for what it changes."""
        with blaming(f"{kind} {name!r}", what), self.apart((kind, name)):
            yield

    def apart(self, *plugins: tuple[str, str]) -> AbstractContextManager[None]:
        """Open while code of these plugins runs here, by kind and name: what a foreign one changes is put back."""
        foreign = [f"{kind} {name!r}" for kind, name in plugins if not self._is_built_in(kind, name)]
        return self._undoing(" and ".join(foreign)) if self._undoing and foreign else nullcontext()

    def version(self, kind: str, name: str) -> str:
        """The version in keys: the plugin's ``version``; for a one-file plugin also digits of its text."""
        digits = self.entry(kind, name).digits
        with blaming(f"{kind} {name!r}", "version"):
            version = str(self.load(kind, name).version)
        return f"{version}+{digits}" if digits else version

    def fingerprint(self, kind: str, name: str) -> str:
        """The fingerprint of a plugin's code, helper modules included: 16 digits (``bench.plan.fingerprints``).

        It is computed once, and nothing is imported for it. Raises RequestError for a plugin that is unknown or broken,
        or an installed one that was edited after this process had imported it: a process does not import anew.
        """
        if (kind, name) not in self._fingerprints:
            now = self._fingerprint(kind, name)
            if self._file_of(kind, name) is None and _codes.setdefault((kind, name), now) != now:
                raise RequestError(
                    f"{kind} {name!r}: its code was edited after this process had imported it; start Python again"
                )
            self._fingerprints[kind, name] = now
        return self._fingerprints[kind, name]

    def _fingerprint(self, kind: str, name: str) -> str:
        if (file := self._file_of(kind, name)) is None:
            entry = self.entry(kind, name)
            file = self._file_of(kind, name)  # which may have been run just now
        with blaming(f"{kind} {name!r}", "reading its code"):
            return file.fingerprint() if file else fingerprints.of_module(entry.module, file_of(entry.module))

    def _file_of(self, kind: str, name: str) -> PluginFile | None:
        return next((file for file in self.files if file.defines and (kind, name) in file.defines), None)

    def _is_built_in(self, kind: str, name: str) -> bool:
        return (kind, name) in self._entries and self._entries[kind, name].is_built_in

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
            line = f"{entry.kind} {entry.name!r} of {entry.origin}: {earlier.origin} has one of that name"
            if entry.is_installed:  # nobody asked for it: it must not stop every run
                self.skipped.append(f"{line}, which is used; expected another name")
            else:
                self.problems.append(f"{line}; expected another")
        else:
            self._entries[entry.kind, entry.name] = entry

    def _read(self, file: Path | PluginFile) -> None:
        try:
            self._waiting.append(plugin_files.read(file) if isinstance(file, Path) else file)
        except Exception as error:  # whatever is wrong with a user's file, it is that file's problem
            given = f"--plugin {file}" if isinstance(file, Path) else file.title
            self.problems.append(f"{given}: {_said(error)}")
        self.files = tuple(self._waiting)

    def _run_files(self, kind: str = "", name: str = "") -> None:
        """Enter the plugins of the files that wait: of all, or of those that may have a plugin of this name."""
        for file in self._waiting[:]:
            if not name or file.may_define(kind, name):
                self._waiting.remove(file)
                self._run(file)

    def _run(self, file: PluginFile) -> None:
        try:
            module = plugin_files.load(file, self._undoing and self._undoing(file.title))
            with self._undoing(file.title) if self._undoing else nullcontext():
                entries = entries_in(module, file, make=not self._lazily)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # whatever a user's file raises, it is that file's problem
            self.problems.append(f"{file.title}: {_said(error)}")
            return
        known = replace(file, defines=frozenset((entry.kind, entry.name) for entry in entries))
        self.files = tuple(known if one is file else one for one in self.files)
        for entry in entries:
            self._add(entry)


def _said(error: BaseException) -> str:
    """What a plugin's module raised; a rule that its class breaks is said in its own words."""
    return shortened(str(error), LONGEST) if isinstance(error, RequestError) else one_line(error)


def _origin(point: EntryPoint) -> str:
    package = package_name(point.dist) if point.dist else "unknown"
    return BUILT_IN if package == "defensebench" else f"package {package}"


def _checked(plugin: Any, kind: str, name: str) -> "type[Plugin]":
    from bench.plugin.base import Plugin

    if not (inspect.isclass(plugin) and issubclass(plugin, Plugin) and plugin.kind == kind and plugin.name == name):
        raise RequestError(f"{kind} {name!r} is broken: expected a class of that kind and name, found {plugin!r}")
    if problem := problem_of(plugin):
        raise RequestError(f"{kind} {name!r} is broken: {problem}")
    return plugin
