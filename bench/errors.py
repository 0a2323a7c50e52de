"""The one error that means: what was asked for cannot be done as it was asked."""

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any


class RequestError(ValueError):
    """A wrong request. The message is one line that names the value and what was expected."""


def explained(error: Any, fields: Iterable[str]) -> str:
    """pydantic's first complaint as one line that names the value and what was expected; ``fields`` are those there."""
    first = error.errors()[0]
    name = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        near = get_close_matches(name, fields, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(fields)}"
        return f"unknown parameter {name!r}: {hint}"
    expected = first["msg"].removeprefix("Input should be ").removeprefix("Value error, ")
    return f"{name + '=' if name else ''}{first['input']}: expected {expected}"
