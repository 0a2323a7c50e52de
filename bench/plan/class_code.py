"""The code of a class that lives in this process, of a notebook, a script or any module, as a text that stands for it.

The text is the class's own source, that of the functions and classes beside it which it uses, the import statements
for what comes from elsewhere, and the values of the globals that it reads. What else a script holds is no part of it.
It is read, never run: fingerprints and keys are made from it.
"""

import ast
import builtins
import hashlib
import inspect
import linecache
import pickle
import symtable
import sys
import textwrap
from collections.abc import Iterator, Mapping
from importlib.machinery import SourceFileLoader
from types import CodeType, FunctionType, ModuleType
from typing import Any

from bench.errors import RequestError

_Code = type[Any] | FunctionType


def text_of(cls: type[Any]) -> str:
    """The text. Raises RequestError where the source cannot be read, or is no longer what the class was made from."""
    parts: dict[str, str] = {}
    _add(cls, parts)
    return "\n".join(parts.values())


def place_of(cls: type[Any]) -> str:
    """Where the class was defined: a file's path, or what Python calls a cell of a notebook."""
    return next((function.__code__.co_filename for function in _functions(cls)), "")


def _add(code: _Code, parts: dict[str, str]) -> None:
    """Add the source of a class or function to ``parts``, and all that it uses, each once; what is used comes first."""
    name = f"{code.__module__}:{code.__qualname__}"
    if name in parts:
        return
    text = _source_of(code)
    parts[name] = ""  # so that what uses itself ends
    scope = _scope(code)
    for used in sorted(_globals(text)):
        if used in scope:
            _add_value(used, scope[used], code.__module__, parts)
    del parts[name]
    parts[name] = text


def _add_value(name: str, value: Any, module: str, parts: dict[str, str]) -> None:
    """Add what ``name`` stands for in ``module``."""
    if isinstance(value, ModuleType):
        parts[f"={name}"] = f"import {value.__name__} as {name}"
    elif isinstance(value, type | FunctionType) and value.__module__ == module:
        _add(value, parts)
    elif (home := _home(value)) is not None:
        parts[f"={name}"] = f"from {home[0]} import {home[1]} as {name}"
    else:
        parts[f"={name}"] = f"{name} = {_digest(value, parts)!r}"


def _home(value: Any) -> tuple[str, str] | None:
    """Module and name under which a value can be imported, or None."""
    module, name = getattr(value, "__module__", None), getattr(value, "__name__", getattr(value, "_name", None))
    if not isinstance(module, str) or not isinstance(name, str) or module == "__main__":
        return None
    return (module, name) if getattr(sys.modules.get(module), name, None) is value else None


def _digest(value: Any, parts: dict[str, str]) -> Any:
    """What stands for a value: itself where it is plain, else digits of its contents, or its type where it has none."""
    if value is None or isinstance(value, bool | int | float | str | bytes):
        return value
    if isinstance(value, list | tuple):
        return [type(value).__name__, *(_digest(one, parts) for one in value)]
    if isinstance(value, set | frozenset):
        return ["set", *sorted(repr(_digest(one, parts)) for one in value)]
    if isinstance(value, Mapping):
        return [type(value).__name__, *((_digest(key, parts), _digest(one, parts)) for key, one in value.items())]
    kind = type(value)
    if kind.__module__ == "__main__" and hasattr(value, "__dict__"):
        _add(kind, parts)
        return [kind.__qualname__, _digest(vars(value), parts)]
    try:
        return f"{kind.__qualname__} {hashlib.sha256(pickle.dumps(value, 5)).hexdigest()}"
    except Exception:  # a lock, a console: it has no contents that could be compared
        return kind.__qualname__


def _globals(text: str) -> set[str]:
    """The names that a class or function looks up outside of itself."""
    return {
        symbol.get_name()
        for table in _tables(symtable.symtable(text, "<class>", "exec"))
        for symbol in table.get_symbols()
        if symbol.is_referenced() and (symbol.is_global() or table.get_type() == "module")
    }


def _tables(table: symtable.SymbolTable) -> Iterator[symtable.SymbolTable]:
    yield table
    for inner in table.get_children():
        yield from _tables(inner)


def _scope(code: _Code) -> dict[str, Any]:
    """What names mean in a class or function: the globals of its module, and what a function around it holds."""
    scope = dict(vars(sys.modules[code.__module__])) if code.__module__ in sys.modules else {}
    for function in _functions(code) if isinstance(code, type) else [code]:
        scope.update(function.__globals__)
        for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
            try:
                scope[name] = cell.cell_contents
            except ValueError:  # not assigned yet
                continue
    return {name: value for name, value in scope.items() if getattr(builtins, name, scope) is not value}


def _functions(cls: type[Any]) -> list[FunctionType]:
    """The functions that are written in a class."""
    found = []
    for value in vars(cls).values():
        inner = getattr(value, "fget", None) or getattr(value, "__func__", value)
        inner = inspect.unwrap(inner) if callable(inner) else inner
        if isinstance(inner, FunctionType) and inner.__qualname__.startswith(f"{cls.__qualname__}."):
            found.append(inner)
    return found


def _source_of(code: _Code) -> str:
    """The source of a class or function, also of one in a notebook's cell. Raises RequestError."""
    try:
        text = _class_source(code) if isinstance(code, type) else inspect.getsource(code)
        text = textwrap.dedent(text)
        ast.parse(text)
    except (OSError, TypeError, SyntaxError, IndentationError):
        kind = "class" if isinstance(code, type) else "function"
        raise RequestError(
            f"{kind} {code.__qualname__}: its source cannot be read; expected it in a file or a notebook's cell"
        ) from None
    return text


def _class_source(cls: type[Any]) -> str:
    """As ``inspect.getsource``, which finds no class of a notebook and may take another one of the same name."""
    functions = _functions(cls)
    if not functions:
        return _source_without_functions(cls)
    code = functions[0].__code__
    module = sys.modules.get(cls.__module__)
    linecache.checkcache(code.co_filename)
    lines = linecache.getlines(code.co_filename, vars(module) if module else None)
    if not lines:
        raise OSError("no source")
    text = "".join(lines)
    tree = ast.parse(text)
    around = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
        and node.name == cls.__name__
        and node.lineno <= code.co_firstlineno <= (node.end_lineno or 0)
    ]
    if not around or (
        _is_as_written(module) and not _has(compile(text, code.co_filename, "exec", dont_inherit=True), code)
    ):
        raise RequestError(
            f"class {cls.__qualname__}: {code.co_filename} was edited after the class was made; make it anew, or start "
            "Python again"
        )
    first = min([node.lineno for node in around[-1].decorator_list] + [around[-1].lineno])
    return "".join(lines[first - 1 : around[-1].end_lineno])


def _source_without_functions(cls: type[Any]) -> str:
    """Of a class that has none of its own to tell where it stands: in a notebook, the last cell that defines it."""
    try:
        return inspect.getsource(cls)
    except (OSError, TypeError):
        for text in (
            "".join(entry[2]) for entry in reversed(linecache.cache.values()) if len(entry) > 1 and entry[1] is None
        ):
            for node in ast.parse(text).body:
                if isinstance(node, ast.ClassDef) and node.name == cls.__qualname__:
                    return ast.get_source_segment(text, node) or ""
        raise


def _is_as_written(module: ModuleType | None) -> bool:
    """Whether a module's code is what Python makes of its file; pytest, for one, makes another one of tests."""
    return type(getattr(module, "__loader__", None)) is SourceFileLoader


def _has(whole: CodeType, code: CodeType) -> bool:
    return whole == code or any(_has(part, code) for part in whole.co_consts if isinstance(part, CodeType))
