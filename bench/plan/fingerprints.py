"""Fingerprints of code: they say which version of a plugin's code, helper modules included, a result comes from.

A fingerprint changes with the code, but not with comments, docstrings or layout. It is read from files or texts, and
nothing is imported. Modules whose names a program makes up while it runs are not seen: only import statements are.
"""

import ast
import hashlib
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import NamedTuple

import bench

_HARNESS = Path(bench.__file__).parent.parent  # the directory that holds the package ``bench``
# what plugins compute with, or derive from; for the rest of the harness a record has version and commit
_SHARED = tuple(f"bench.{room}" for room in ("toolbox", "attacks", "datasets", "defenses", "models"))


class Source(NamedTuple):
    """A module's file and its text."""

    path: Path
    text: bytes


Find = Callable[[str], Source | None]


def of_module(name: str, file: Path) -> str:
    """The fingerprint of an installed module and of what it imports from its package and from plugins and toolbox.

    name: the module's full name. file: its file. Raises OSError or SyntaxError for a file that cannot be read.
    """
    return _fingerprint(of_package(name, file))


def of_package(name: str, file: Path) -> dict[str, Source]:
    """An installed module, with the modules that its fingerprint covers, by name. Raises as ``of_module``."""
    parts = name.split(".")
    base = file.parents[len(parts) - (file.name != "__init__.py")]
    own = None if parts[0] == "bench" else parts[0]
    return modules(name, Source(file, file.read_bytes()), lambda other: _own(other, base, own) or _shared(other))


def of_file(file: Path) -> str:
    """The fingerprint of a one-file plugin and of the modules beside it that it imports. Raises as ``of_module``."""
    source = Source(file, file.read_bytes())
    return of_texts(source, beside(file.stem, source))


def of_texts(plugin: Source, helpers: Mapping[str, Source]) -> str:
    """The fingerprint of a one-file plugin and its helper modules, by name, whatever their files hold by now."""
    found = modules("", plugin, lambda other: helpers.get(other) or _shared(other))
    return _fingerprint(found)


def beside(name: str, plugin: Source, package: str | None = None) -> dict[str, Source]:
    """The modules beside a one-file plugin that it imports, directly or indirectly, by name. Raises as ``of_module``.

    name: what the plugin's own module would be called, which none of them is. package: that all of them belong to.
    """
    folder = plugin.path.parent

    def find(other: str) -> Source | None:
        follows = not _within(other, "bench") and (package is None or _within(other, package))
        return _file_of(other, folder) if follows else None

    found = modules(name, plugin, find)
    return {other: source for other, source in found.items() if other != name}


def modules(name: str, source: Source, find: Find) -> dict[str, Source]:
    """A module and all that it imports, directly or indirectly, by the modules' names.

    ``find`` gives the module of a name; None for one that is not to be followed.
    """
    seen, waiting = {name: source}, [name]
    while waiting:
        importing = waiting.pop()
        for imported in _imported(importing, seen[importing]):
            found = None if imported in seen else find(imported)
            if found is not None:
                seen[imported] = found
                waiting.append(imported)
    return seen


def _own(name: str, base: Path, package: str | None) -> Source | None:
    return _file_of(name, base) if package is not None and _within(name, package) else None


def _shared(name: str) -> Source | None:
    return _file_of(name, _HARNESS) if any(_within(name, package) for package in _SHARED) else None


def _within(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")


def _file_of(name: str, base: Path) -> Source | None:
    path = base.joinpath(*name.split("."))
    for file in (path / "__init__.py", path.with_name(f"{path.name}.py")):  # a package wins, as for Python
        if file.is_file():
            return Source(file, file.read_bytes())
    return None


def _imported(name: str, source: Source) -> Iterator[str]:
    """The full names of all modules that a module's import statements may refer to, packages before their modules."""
    package = (name if source.path.name == "__init__.py" else name.rpartition(".")[0]).split(".")
    for level, module, names in _read(source.text).imports:
        above = package[: len(package) - level + 1] if level else []
        origin = ".".join(filter(None, [*above, module]))
        for imported in (origin, *(f"{origin}.{one}" for one in names)):
            parts = imported.split(".")
            yield from (".".join(parts[:end]) for end in range(1, len(parts) + 1))


def _fingerprint(found: Mapping[str, Source]) -> str:
    """Sixteen hexadecimal digits that stand for the code of these modules."""
    texts = [f"{name} {_read(source.text).digest}" for name, source in sorted(found.items())]
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()[:16]


class _Read(NamedTuple):
    """What is needed of a text: its digest, and its imports as level, module and names."""

    digest: str
    imports: tuple[tuple[int, str, tuple[str, ...]], ...]


@cache
def _read(text: bytes) -> _Read:
    code: list[str] = []
    statements: list[ast.Import | ast.ImportFrom] = []
    _write(ast.parse(text), code, statements)
    imports: list[tuple[int, str, tuple[str, ...]]] = []
    for node in statements:
        if isinstance(node, ast.Import):
            imports += [(0, alias.name, ()) for alias in node.names]
        else:
            imports.append((node.level, node.module or "", tuple(alias.name for alias in node.names)))
    digest = hashlib.sha256("".join(code).encode("utf-8", "surrogatepass")).hexdigest()
    return _Read(digest, tuple(dict.fromkeys(imports)))


def _write(node: ast.AST, code: list[str], imports: list[ast.Import | ast.ImportFrom]) -> None:
    """Add a syntax tree to ``code`` without docstrings and positions, the same in every version of Python.

    Its import statements are added to ``imports``.
    """
    if isinstance(node, ast.Import | ast.ImportFrom):
        imports.append(node)
    code.append(f"({type(node).__name__}")
    for name in _ordered(node._fields):
        value = getattr(node, name, None)
        if isinstance(value, ast.AST):
            code.append(f" {name}=")
            _write(value, code, imports)
        elif isinstance(value, list):
            if name == "body" and isinstance(node, _DOCUMENTED):
                value = [part for part in value if not _is_text(part)]
            if value:
                code.append(f" {name}=[")
                for part in value:
                    if isinstance(part, ast.AST):
                        _write(part, code, imports)
                    else:
                        code.append(f"{part!r},")
                code.append("]")
        elif value is not None:
            code.append(f" {name}={value!r}")
    code.append(")")


_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


@cache
def _ordered(fields: tuple[str, ...]) -> list[str]:
    """In an order of our own. ``ctx`` follows from where a node stands, ``kind`` is how a text is written."""
    return sorted(set(fields) - {"ctx", "kind"})


def _is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
