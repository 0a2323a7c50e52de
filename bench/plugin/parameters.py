"""A plugin's parameters in words: how a value is written, what values are allowed, and what is wrong with a value."""

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any

from pydantic import Field


class Preset(dict[str, Any]):
    """A named set of parameters, with a few words on what it is for: ``Preset("for deep networks", epochs=50)``.

    Where there is nothing to say, a plain dictionary will do (``Plugin.presets``).
    """

    def __init__(self, what: str = "", /, **values: Any) -> None:
        super().__init__(values)
        self.what = what


def later(default: Any, **rest: Any) -> Any:
    """A field for a parameter that is added to a plugin of which there are results already: ``pydantic.Field(…)``.

    It is left out of the content key while it has its ``default``, which must do what was done before.
    """
    return Field(default, exclude_if=lambda value: value == default, **rest)


def spelled(value: Any) -> str:
    """A parameter's value as a selection writes it; a float with four significant digits."""
    if isinstance(value, tuple | list):
        return "+".join(map(spelled, value))
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def written(name: str, values: Mapping[str, str], preset: str | None = None) -> str:
    """A plugin or recipe with parameters as a selection writes it: ``name[param=value,…]``, the preset first."""
    parts = [] if preset is None else [preset]
    inside = ",".join([*parts, *(f"{parameter}={value}" for parameter, value in values.items())])
    return f"{name}[{inside}]" if inside else name


def bound(schema: dict[str, Any]) -> str:
    """The values that a parameter may take, such as "> 0 < 1", from its JSON ``schema``."""
    options = [part for part in schema.get("anyOf", [schema]) if part.get("type") != "null"]
    part = options[0] if options else schema
    if part.get("type") == "array":
        return f"one or several (a+b) of {bound(part['items'])}" if "items" in part else "several"
    if "const" in part:
        return f"{part['const']} only"
    if "enum" in part:
        return " | ".join(map(str, part["enum"]))
    signs = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    return " ".join(f"{sign} {part[name]:g}" for name, sign in signs.items() if name in part) or str(
        part.get("type", "")
    )


def explained(error: Any, fields: Iterable[str]) -> str:
    """The first error of a pydantic ValidationError, as one line that names the value and what was expected.

    ``fields``: the names of all parameters.
    """
    return explained_detail(error.errors()[0], fields)


def explained_detail(first: Any, fields: Iterable[str]) -> str:
    """The same for one of the error's ``errors()``."""
    name = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        return unknown("parameter", name, fields)
    if first["type"] == "missing":
        return f"{name}=…: expected a value, it has no default"
    expected = first["msg"].removeprefix("Input should be ").removeprefix("Value error, ")
    return f"{name + '=' if name else ''}{first['input']}: expected {expected}"


def unknown(what: str, name: str, names: Iterable[str]) -> str:
    """A line that says that there is no such plugin or parameter: with the nearest of ``names``, else with all."""
    names = list(names)
    near = get_close_matches(name, names, n=1, cutoff=0.5)
    there = f"there are {', '.join(names)}" if names else "there are none"
    hint = f"did you mean {near[0]!r}?" if near else there
    return f"unknown {what} {name!r}: {hint}"
