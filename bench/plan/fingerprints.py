"""Fingerprints of code: they say which version of a plugin's code, helper modules included, a result comes from.

A fingerprint changes with the code, but not with comments, docstrings or layout. It is read from files, and nothing is
imported.
"""

import ast
import hashlib
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import bench

_HARNESS = Path(bench.__file__).parent.parent  # the directory that holds the package ``bench``
_SHARED = "bench.toolbox"  # what plugins compute with; for the rest of the harness a record has version and commit


def of_module(name: str, file: Path) -> str:
    """The fingerprint of an installed module and of what it imports from its package, or from its part of ``bench``.

    name: the module's full name. file: its file. Raises OSError or SyntaxError for a file that cannot be read.
    """
    parts = name.split(".")
    if parts[0] == "bench":
        base, package = _HARNESS, ".".join(parts[:2])
    else:
        base, package = file.parents[len(parts) - (file.name != "__init__.py")], parts[0]
    return _fingerprint(modules(name, file, base, lambda other: _within(other, package)))


def of_file(file: Path) -> str:
    """The fingerprint of a one-file plugin and of the modules beside it that it imports. Raises as ``of_module``."""
    return _fingerprint(modules(file.stem, file, file.parent, lambda other: True))


def modules(name: str, file: Path, base: Path, belongs: Callable[[str], bool]) -> dict[str, Path]:
    """The files of a module and of all that it imports, directly or indirectly, by the modules' names.

    Of the imports it follows those of the toolbox, and those below ``base`` whose name ``belongs`` accepts.
    """
    seen, waiting = {name: file}, [(name, file)]
    while waiting:
        for imported in _imports(*waiting.pop()):
            root = _HARNESS if imported.startswith("bench.") else base
            counts = _within(imported, _SHARED) or (belongs(imported) and (root == base or base == _HARNESS))
            source = _file_of(imported, root) if counts and imported not in seen else None
            if source is not None:
                seen[imported] = source
                waiting.append((imported, source))
    return seen


def _within(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")


def _file_of(name: str, base: Path) -> Path | None:
    path = base.joinpath(*name.split("."))
    return next((file for file in (path.with_suffix(".py"), path / "__init__.py") if file.is_file()), None)


def _imports(name: str, file: Path) -> Iterator[str]:
    """The full names of all modules that a module's import statements may refer to."""
    package = name if file.name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(ast.parse(file.read_bytes())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            origin = ".".join(filter(None, [*above, node.module]))
            yield origin
            yield from (f"{origin}.{alias.name}" for alias in node.names)


def _fingerprint(files: dict[str, Path]) -> str:
    """Sixteen hexadecimal digits that stand for the code of these modules."""
    texts = [f"{name} {_digest(file.read_bytes())}" for name, file in sorted(files.items())]
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()[:16]


@cache
def _digest(text: bytes) -> str:
    return hashlib.sha256(repr(_code(ast.parse(text))).encode()).hexdigest()


def _code(node: Any) -> Any:
    """A syntax tree as plain values, without docstrings and positions; the same in every version of Python."""
    if isinstance(node, list):
        return [_code(part) for part in node]
    if not isinstance(node, ast.AST):
        return repr(node)
    fields = {name: value for name, value in ast.iter_fields(node) if value not in (None, []) and name != "kind"}
    if "body" in fields and isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        fields["body"] = [part for part in node.body if not _is_text(part)]
    return type(node).__name__, [(name, _code(value)) for name, value in sorted(fields.items())]


def _is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
