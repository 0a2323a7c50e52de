"""Values of parameters as a sweep reads them from records, and labels of plugins without one of their parameters."""

import re
from collections.abc import Mapping
from math import isfinite
from typing import Any

from bench.records import printable

UNSAID = "default"  # a value that neither the parameters nor the label of a record tell
Value = float | str
"""A number, or a text for what is none: "true", "none", "tv", "patch+additive"."""

_WORDS = {None: "none", True: "true", False: "false"}
_LONGEST = 60  # characters of a text


def value_of(parameters: Mapping[str, Any], name: str, label: str) -> Value:
    """The value of the parameter ``name`` among a record's; else what its label says, such as tac[beta=2].

    Parameters that were added later are in no record while they have their default.
    """
    if name in parameters:
        return read(parameters[name])
    match = re.search(rf"[\[,]{re.escape(name)}=([^,\]]*)", label)
    if not match:
        return UNSAID
    try:
        return read(float(match[1]))
    except ValueError:
        return match[1].lower()


def read(value: Any) -> Value:
    """A value as JSON has it."""
    if value is None or isinstance(value, bool):
        return _WORDS[value]
    if isinstance(value, int | float) and abs(value) < 1e300 and isfinite(value):
        return float(value)
    return printable("+".join(map(_item, value)) if isinstance(value, list) else str(value), _LONGEST)


def text(value: Value) -> str:
    """A value in words."""
    return value if isinstance(value, str) else f"{value:g}"


def all_but(parameters: Mapping[str, Any], name: str) -> tuple[tuple[str, str], ...]:
    """The other parameters and their values in words, in one order for all."""
    return tuple(sorted((key, text(read(value))) for key, value in parameters.items() if key != name))


def without(label: str, name: str) -> str:
    """A label without one of its parameters: tac for tac[beta=2]."""
    left = re.sub(rf"(?<=[\[,]){re.escape(name)}=[^,\]]*,?", "", label)
    return left.replace(",]", "]").replace("[]", "")


def _item(value: Any) -> str:
    return str(value) if isinstance(value, list | dict) else text(read(value))
