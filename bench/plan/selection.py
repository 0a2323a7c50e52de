"""Selections: ``all``, names, globs, ``name[param=value]``, ``name[param=a|b]`` for a sweep; comma-separated."""

import json
import re
from dataclasses import dataclass
from itertools import product
from typing import Any

from bench.errors import RequestError

_CHOICE = re.compile(r"\s*(?P<pattern>[\w.*?-]+)\s*(?:\[(?P<parameters>[^\[\]]*)\])?\s*")


@dataclass(frozen=True)
class Choice:
    """One part of a selection: a name or glob, and the parameters that it sets."""

    pattern: str
    parameters: dict[str, Any]

    @property
    def is_name(self) -> bool:
        """Whether it names one plugin instead of matching several."""
        return self.pattern != "all" and not any(sign in self.pattern for sign in "*?")


def parse(text: str) -> list[Choice]:
    """The choices of a selection, one for each point of a sweep. Raises RequestError for anything malformed."""
    choices: list[Choice] = []
    for part in re.split(r",(?![^\[]*\])", text):
        match = _CHOICE.fullmatch(part)
        if not match:
            raise RequestError(
                f"selection {text!r}: cannot read {part.strip()!r}; expected all, a name, a glob or name[param=value,…]"
            )
        axes = _axes(match["parameters"], text) if match["parameters"] is not None else {}
        choices += [
            Choice(match["pattern"], dict(zip(axes, values, strict=True))) for values in product(*axes.values())
        ]
    return choices


def _axes(parameters: str, text: str) -> dict[str, list[Any]]:
    axes: dict[str, list[Any]] = {}
    for assignment in parameters.split(","):
        name, equals, values = (piece.strip() for piece in assignment.partition("="))
        if not (name.isidentifier() and equals and values):
            raise RequestError(f"selection {text!r}: cannot read {assignment.strip()!r}; expected param=value")
        if name in axes:
            raise RequestError(f"selection {text!r}: {name} is set twice; a sweep is written {name}=a|b")
        axes[name] = [_value(value.strip()) for value in values.split("|")]
    return axes


def _value(text: str) -> Any:
    """Numbers, fractions such as 40/255, true, false and none are what they look like; anything else is text."""
    if text.lower() in ("none", "true", "false"):
        return {"none": None, "true": True, "false": False}[text.lower()]
    fraction = re.fullmatch(r"(\d+(?:\.\d+)?)/(\d+(?:\.\d+)?)", text)
    if fraction and float(fraction[2]):
        return float(fraction[1]) / float(fraction[2])
    try:
        value = json.loads(text)
    except json.JSONDecodeError:
        return text
    return value if isinstance(value, int | float | bool) else text
