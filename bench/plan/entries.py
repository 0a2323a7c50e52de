"""What a plugin is entered as, and where an installed one lies. Nothing is imported for it."""

import ast
import sys
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib.machinery import ModuleSpec
from importlib.metadata import Distribution
from pathlib import Path

from bench.errors import one_line

BUILT_IN = "built-in"  # the origin of this project's own plugins


@dataclass(frozen=True)
class Entry:
    """A plugin as it is listed. ``target`` is "module:Class"; ``problem`` says why it cannot be used.

    digits: of a one-file plugin's text, part of its version: an edited file has other keys.
    """

    kind: str
    name: str
    target: str
    origin: str
    summary: str = ""
    problem: str | None = None
    digits: str = ""

    @property
    def is_built_in(self) -> bool:
        """Whether the plugin is this project's own."""
        return self.origin == BUILT_IN

    @property
    def is_installed(self) -> bool:
        """Whether it comes from an entry point, of this project or of another package."""
        return self.is_built_in or self.origin.startswith("package ")

    @property
    def module(self) -> str:
        return self.target.partition(":")[0]


def described(entry: Entry) -> Entry:
    """The entry of an installed plugin with the first line of its module's docstring, or with its problem."""
    _, _, attribute = entry.target.partition(":")
    try:
        file = file_of(entry.module)
        state = file.stat()
        defined, summary = _looked_at(file, (state.st_mtime_ns, state.st_size))
        if attribute not in defined:
            raise AttributeError(f"{file} defines no {attribute}")
    except Exception as error:  # a package that cannot even be found must not break the listing
        return replace(entry, problem=one_line(error))
    return replace(entry, summary=summary)


@lru_cache(maxsize=64)
def package_name(package: Distribution) -> str:
    """The name of an installed package, which is read once for all of its plugins: it stands in a long file."""
    return package.name


def file_of(module: str) -> Path:
    """The file of an installed module. Raises ModuleNotFoundError where there is none.

    Not even the packages that it lies in are imported, for they may do anything.
    """
    parts = module.split(".")
    spec, path = None, None
    for end in range(1, len(parts) + 1):
        spec = _found(".".join(parts[:end]), path)
        path = None if spec is None else spec.submodule_search_locations
        if spec is None or (path is None and end < len(parts)):
            raise ModuleNotFoundError(f"no module named {module!r}")
    if spec is None or spec.origin is None or not spec.has_location:
        raise ModuleNotFoundError(f"no module named {module!r}")
    return Path(spec.origin)


@lru_cache(maxsize=1024)
def _looked_at(file: Path, _state: tuple[int, int]) -> tuple[frozenset[str], str]:
    """The names that a module defines, and the first line of its docstring; read again when the file has changed."""
    tree = ast.parse(file.read_text())
    names = (getattr(node, "name", None) for node in tree.body)
    return frozenset(name for name in names if name), (ast.get_docstring(tree) or "").partition("\n")[0]


def _found(name: str, path: list[str] | None) -> ModuleSpec | None:
    if name in sys.modules:
        return getattr(sys.modules[name], "__spec__", None)
    for finder in sys.meta_path:
        find = getattr(finder, "find_spec", None)
        spec: ModuleSpec | None = None if find is None else find(name, path)
        if spec is not None:
            return spec
    return None
