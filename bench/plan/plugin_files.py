"""One-file plugins as texts: read once, at the start of a run, and run from these texts in every process of it.

So all workers run the same code, whatever becomes of the files meanwhile, and on nodes that have no such files. A class
of a notebook or script (``bench.plan.plugin_objects``) is handed over by value beside the text that stands for it.
"""

import hashlib
import importlib.machinery
import importlib.util
import linecache
import pickle
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from bench.plan import fingerprints
from bench.plan.fingerprints import Source


@dataclass(frozen=True)
class PluginFile:
    """A one-file plugin, and the modules beside it that it imports, by name; each with the text that it had.

    defines: kinds and names of its plugins; None while nobody has looked. pickled: of a class that the request has as
    an object, the class by value, to be loaded in place of the text; empty where no other process needs it.
    """

    path: Path
    text: bytes
    helpers: Mapping[str, Source] = field(default_factory=dict)
    defines: frozenset[tuple[str, str]] | None = None
    pickled: bytes | None = field(default=None, repr=False)

    @property
    def is_object(self) -> bool:
        """Whether it stands for a class that the request has as an object."""
        return self.pickled is not None

    @property
    def title(self) -> str:
        """What is said of it: where its plugins come from."""
        return f"a class of {self.path}" if self.is_object else f"--plugin {self.path}"

    @property
    def digits(self) -> str:
        """Twelve digits of the text: part of the plugins' version, so that an edited file has other keys."""
        return hashlib.sha256(self.text).hexdigest()[:12]

    def fingerprint(self) -> str:
        """The fingerprint of its code, helper modules included."""
        return fingerprints.of_texts(Source(self.path, self.text), self.helpers)

    def may_define(self, kind: str, name: str) -> bool:
        """Whether it may have the plugin of this kind and name."""
        return self.defines is None or (kind, name) in self.defines


def read(path: Path) -> PluginFile:
    """The plugin's file and its helper modules. Raises OSError, ImportError or SyntaxError."""
    if not path.is_file():
        raise FileNotFoundError("no such file")
    if path.suffix != ".py":
        raise ImportError("expected a Python file, NAME.py")
    text = path.read_bytes()
    return PluginFile(path, text, fingerprints.beside(path.stem, Source(path, text)))


def load(file: PluginFile, inside: AbstractContextManager[None] | None = None) -> ModuleType:
    """The plugin's module, run once a process from its text. Raises whatever it raises, and ImportError.

    inside: a context in which the text is run, if it is run.
    """
    name = _module_name(file)
    if name not in sys.modules and file.is_object:
        with _beside(file), inside or nullcontext():
            enter(file, pickle.loads(file.pickled or b""))  # code of the caller's own, who gave it as a class
    if name not in sys.modules:
        loader = _TextLoader(name, Source(file.path, file.text))
        module = importlib.util.module_from_spec(_spec(name, loader))
        _forget_edited(file.helpers)
        sys.modules[name] = module
        try:
            with _beside(file), inside or nullcontext():
                loader.exec_module(module)
            _check_helpers(file)
        except BaseException:
            del sys.modules[name]
            raise
    return sys.modules[name]


def enter(file: PluginFile, cls: type[Any]) -> None:
    """Let ``load`` give a module with this class for a file that stands for it."""
    module = ModuleType(_module_name(file))
    setattr(module, cls.__name__, cls)
    sys.modules[module.__name__] = module


def _module_name(file: PluginFile) -> str:
    texts = [str(file.path.resolve()).encode(), *(source.text for _, source in sorted(file.helpers.items()))]
    parts = hashlib.sha256("\n".join(hashlib.sha256(text).hexdigest() for text in texts).encode()).hexdigest()[:8]
    return f"bench_plugin_{file.digits}_{parts}"  # a copy elsewhere, or with edited helpers, is another module


class _TextLoader(importlib.machinery.SourceFileLoader):
    """Runs a module from a text that was read before, under the path of its file."""

    def __init__(self, name: str, source: Source) -> None:
        super().__init__(name, str(source.path))
        self.source = source

    def get_data(self, path: str) -> bytes:  # what shows a source asks for it
        return self.source.text if path == self.path else super().get_data(path)

    def get_code(self, fullname: str) -> CodeType:
        """Compiled anew: no cache in a file may stand for the text."""
        text = self.source.text
        lines = importlib.util.decode_source(text).splitlines(keepends=True)
        linecache.cache[self.path] = len(text), None, lines, self.path  # tracebacks show these, not the file's of now
        return self.source_to_code(text, self.path)


class _Helpers(MetaPathFinder):
    """Finds helper modules of one-file plugins in the texts that were read.

    ``first``: before any other module of the name, as a script finds what lies beside it; else after those.
    """

    def __init__(self) -> None:
        self.sources: dict[str, Source] = {}
        self.first = False

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        own = self._own(fullname)
        if own is None or self.first:
            return own
        other = PathFinder.find_spec(fullname, path, target)
        return own if other is None or (own.origin and own.origin == other.origin) else None

    def _own(self, fullname: str) -> ModuleSpec | None:
        if (source := self.sources.get(fullname)) is not None:
            return _spec(fullname, _TextLoader(fullname, source))
        for name, inner in self.sources.items():
            if name.startswith(f"{fullname}."):  # a folder of helpers that has no __init__.py
                levels = name.count(".") - fullname.count(".") + (inner.path.name == "__init__.py")
                spec = ModuleSpec(fullname, None, is_package=True)
                spec.submodule_search_locations = [str(inner.path.parents[levels - 1])]
                return spec
        return None


_helpers = _Helpers()


def _spec(name: str, loader: _TextLoader) -> ModuleSpec:
    path = loader.source.path
    package = [str(path.parent)] if path.name == "__init__.py" else None
    spec = importlib.util.spec_from_file_location(name, path, loader=loader, submodule_search_locations=package)
    if spec is None:
        raise ImportError("expected a Python file, NAME.py")
    return spec


@contextmanager
def _beside(file: PluginFile) -> Iterator[None]:
    """While open, helper modules can be imported first of all, as by a script; afterwards last of all."""
    _helpers.sources.update(file.helpers)
    if _helpers not in sys.meta_path:
        sys.meta_path.insert(0, _helpers)
    folder, before = str(file.path.parent), list(sys.path)
    sys.path.insert(0, folder)  # what Python does for a script; a plugin's file has helpers beside it as a script has
    _helpers.first = True
    try:
        yield
    finally:
        _helpers.first = False
        sys.path[:] = before if folder in before else [*before, folder]


def _forget_edited(helpers: Mapping[str, Source]) -> None:
    """Forget the modules of these names if one of them was run from another text of its file, in an earlier run."""
    loaders = {name: getattr(sys.modules.get(name), "__loader__", None) for name in helpers}
    own = {name: loader.source for name, loader in loaders.items() if isinstance(loader, _TextLoader)}
    if any(source.path == helpers[name].path and source.text != helpers[name].text for name, source in own.items()):
        for name in own:
            del sys.modules[name]
            package, _, last = name.rpartition(".")
            if package in sys.modules:
                vars(sys.modules[package]).pop(last, None)


def _check_helpers(file: PluginFile) -> None:
    """Raise ImportError for a helper module if another module of its name is loaded instead."""
    for name, source in file.helpers.items():
        module = sys.modules.get(name)
        loader = getattr(module, "__loader__", None)
        loaded = getattr(module, "__file__", None)
        same = loader.source == source if isinstance(loader, _TextLoader) else _same_file(source.path, loaded)
        if loaded is not None and not same:
            raise ImportError(f"{source.path} cannot be loaded: another module {name!r} was loaded before, {loaded}")


def _same_file(path: Path, other: str | None) -> bool:
    try:
        return other is not None and path.samefile(other)
    except OSError:
        return False
