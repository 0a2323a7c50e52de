"""What the class of a plugin must be. A rule that it breaks is named in one line when the class is made."""

import inspect
import re
from collections.abc import Iterator
from difflib import get_close_matches
from types import FunctionType
from typing import Any, get_args

from pydantic import PydanticSchemaGenerationError, PydanticUserError

from bench.errors import RequestError, shortened
from bench.plugin.values import Knowledge
from bench.records.bibtex import entry_key
from bench.records.texts import printable

METHODS = {  # what an author writes: of which base
    "repair": "Repair",
    "guard": "Runtime",
    "reveal": "Oracle",
    "trigger": "Attack",
    "build": "Model",
    "load": "Dataset",
}
LONGEST_TITLE = 60  # characters
DEFENSES = "Repair, Runtime or Oracle"
_NAME = re.compile(r"[\w.-]+")  # what a selection can name
_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
_DECLARED = {  # class variables: an example
    "name": 'ClassVar[str] = "mine"',
    "version": "ClassVar[int] = 2",
    "source": 'ClassVar[str] = "Author, Title, Year"',
    "title": 'ClassVar[str] = "FT-SAM"',
    "bibtex": 'ClassVar[str] = "@misc{key, author = {…}, title = {…}, year = {…}}"',
    "knowledge": 'ClassVar[str] = "suspects"',
    "presets": 'ClassVar = {"paper": {"beta": 2.0}}',
}


def unfit(cls: str, error: PydanticUserError) -> RequestError:
    """The error for a class ``cls`` that pydantic cannot make, in words of a plugin's author."""
    text = " ".join(str(error).split())
    if isinstance(error, PydanticSchemaGenerationError):
        kind = re.search(r"<class '([^']+)'>", text)
        what = f"a parameter of type {kind[1]}" if kind else "a parameter"
        return RequestError(
            f"class {cls}: {what} cannot be written down; expected numbers, texts, or tuples of them. "
            "Tensors and networks are made in the methods"
        )
    if error.code == "model-field-missing-annotation":
        name = re.search(r"[`'](\w+)", text)
        given = name[1] if name else "an attribute"
        return RequestError(
            f"class {cls}: {given} has no type; expected {given}: float = … for a parameter, or {given}: ClassVar = … "
            "for a constant"
        )
    return RequestError(f"class {cls}: {shortened(text, 500)}")


def check(cls: Any, own: dict[str, Any]) -> None:
    """Raise RequestError for the first rule that a class breaks. ``own``: what its body defines."""
    problem = next(_problems(cls, own), None)
    if problem is not None:
        raise RequestError(f"class {cls.__name__}: {problem}")


def check_name(cls: Any) -> None:
    """Raise RequestError for a class whose name no selection can name."""
    name = cls.name
    if not (isinstance(name, str) and _NAME.fullmatch(name) and name != "all"):
        hint = re.sub(r"[^\w.-]+", "_", name).strip("_") if isinstance(name, str) and name != "all" else ""
        example = f", such as {hint!r}" if hint else ""
        raise RequestError(
            f"class {cls.__name__}: name={shortened(repr(name))}: expected letters, digits, _, . and -{example}"
        )


def what_is_missing(cls: Any) -> str | None:
    """What keeps a class from being a plugin: a base, a method or a name; None if nothing does."""
    if not any(base.__name__ == "Plugin" for base in cls.__mro__):
        kinds = ", ".join(dict.fromkeys(METHODS.values()))
        return f"derives from {_listed(base.__name__ for base in cls.__bases__)}; expected one of {kinds}"
    if missing := sorted(getattr(cls, "__abstractmethods__", ())):
        return _missing(cls, missing)
    if getattr(cls, "name", None) is None:
        return f'name is missing; expected name: ClassVar[str] = "{cls.__name__.lower()}"'
    return None


def _problems(cls: Any, own: dict[str, Any]) -> Iterator[str]:
    yield from _parameters(cls)
    yield from _variables(cls, own)
    if "name" in own:  # a plugin; without one, a base of several
        check_name(cls)
        if not any(getattr(base, "__abstractmethods__", ()) for base in cls.__mro__):
            yield _no_kind(cls)
        if missing := sorted(cls.__abstractmethods__):
            yield _missing(cls, missing)
    yield from _signatures(cls, own)


def _parameters(cls: Any) -> Iterator[str]:
    """Parameters that hide what every plugin of the kind has."""
    bases = cls.__mro__[1:]
    inherited = {name for base in bases for name in getattr(base, "model_fields", ())}
    variables = {name for base in bases for name in getattr(base, "__class_vars__", ())}
    for name in cls.model_fields:
        if name in inherited or not (name in variables or any(hasattr(base, name) for base in bases)):
            continue
        if name in variables:
            example = _DECLARED.get(name, "ClassVar = …")
            yield f"{name} is declared as a parameter; expected a class variable, {name}: {example}"
        else:
            yield f"parameter {name!r}: every plugin has an attribute of this name; expected another"


def _variables(cls: Any, own: dict[str, Any]) -> Iterator[str]:
    """Class variables with a wrong value or a misspelt name."""
    known = [str(one) for one in get_args(Knowledge)]
    if "knowledge" in own and hasattr(cls.__mro__[1], "knowledge") and own["knowledge"] not in known:
        given = own["knowledge"]
        near = get_close_matches(str(given), known, 1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        yield f"knowledge={shortened(repr(given))}: expected one of {', '.join(known)}{hint}"
    if "version" in own and type(own["version"]) is not int:
        yield f"version={shortened(repr(own['version']))}: expected a whole number, raised when results change"
    if "source" in own and not isinstance(own["source"], str):
        yield f"source={shortened(repr(own['source']))}: expected a text, the citation"
    yield from _shown_in_papers(own)
    for name in sorted(cls.__class_vars__ & own.keys()):
        near = get_close_matches(name, _DECLARED, 1, 0.8)
        if near and near[0] not in name and not any(hasattr(base, name) for base in cls.__mro__[1:]):
            yield f"unknown class variable {name!r}: did you mean {near[0]!r}?"


def _shown_in_papers(own: dict[str, Any]) -> Iterator[str]:
    title, entry = own.get("title", ""), own.get("bibtex", "")
    if not isinstance(title, str) or title != printable(title, LONGEST_TITLE):
        yield f"title={shortened(repr(title))}: expected a text of one line, at most {LONGEST_TITLE} characters"
    try:
        if entry:
            entry_key(entry)
    except (ValueError, TypeError, AttributeError) as error:
        reason = str(error) if type(error) is ValueError else "a text"
        yield f"bibtex={shortened(repr(entry))}: expected {reason}"


def _no_kind(cls: Any) -> str:
    is_defense = hasattr(cls, "knowledge")
    written = next((METHODS[name] for name in METHODS if callable(getattr(cls, name, None))), None)
    expected = DEFENSES if is_defense else ", ".join(dict.fromkeys(METHODS.values()))
    hint = f", which has {next(name for name, base in METHODS.items() if base == written)}" if written else ""
    alone = cls.__mro__[1].__name__
    return f"derives from {alone} itself; expected {written + hint if written else f'one of {expected}'}"


def _missing(cls: Any, missing: list[str]) -> str:
    """That methods are missing, with what looks like the first of them."""
    first = missing[0]
    text = f"{_listed(map(_signature, (getattr(cls, name) for name in missing)))} {_is(missing)} missing"
    own = [
        name
        for base in cls.__mro__
        if not base.__module__.startswith(("bench.plugin", "pydantic"))
        for name, value in vars(base).items()
        if isinstance(value, FunctionType | property) and not name.startswith("_")
    ]
    if near := get_close_matches(first, own, 1, 0.5):
        return f"{text}: {near[0]!r} looks like {first!r}"
    if other := next((name for name in own if name in METHODS), None):
        return f"{text}: it has {other}, as a {METHODS[other]} has"
    return f"{text}: it has {_listed(own[:3])}" if own else text


def _signatures(cls: Any, own: dict[str, Any]) -> Iterator[str]:
    """Methods that cannot be called as the harness calls them."""
    for name, value in own.items():
        usual = next((vars(base)[name] for base in cls.__mro__[1:] if name in vars(base)), None)
        if not (isinstance(value, FunctionType) and isinstance(usual, FunctionType)) or name.startswith("_"):
            continue
        if not usual.__module__.startswith("bench.plugin"):
            continue
        given = [one for one in inspect.signature(usual).parameters.values() if one.kind in _POSITIONAL]
        try:
            inspect.signature(value).bind(*given)
        except TypeError:
            yield f"{_signature(value)}: expected {_signature(usual)}"


def _signature(method: Any) -> str:
    """A method or property as an author writes it, without types."""
    if not callable(method):
        return str(getattr(method.fget, "__name__", "")) if isinstance(method, property) else "a method"
    names = ", ".join(str(one.replace(annotation=one.empty)) for one in inspect.signature(method).parameters.values())
    return f"{method.__name__}({names})"


def _listed(names: Any) -> str:
    return " and ".join(names)


def _is(names: list[str]) -> str:
    return "are" if len(names) > 1 else "is"
