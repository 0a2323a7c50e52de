"""Selections: ``all``, names, globs, ``name[param=value]``, ``name[param=a|b]`` for a sweep; comma-separated.

A word without a value is a preset: ``name[preset]``, ``name[preset,param=value]``, ``name[preset|preset]``.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any

from bench.errors import RequestError, shortened

if TYPE_CHECKING:
    from bench.plugin.base import Plugin

MOST = 10_000  # choices of one selection: a sweep over several parameters is soon more than anybody can compute
LONGEST = 100_000  # characters of one selection
LARGEST = 2**63 - 1  # of whole numbers: what torch and tables can hold
_WHOLE = re.compile(r"-?(?:0|[1-9][0-9]*)")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?")
_FRACTION = re.compile(r"([0-9]+(?:\.[0-9]+)?)/([0-9]+(?:\.[0-9]+)?)")
_PRESET = re.compile(r"[^\W\d][\w.-]{,99}")
_CHOICE = re.compile(r"(?P<pattern>[\w.*?-]+)\s*(?:\[(?P<parameters>[^\[\]]*)\])?")


@dataclass(frozen=True)
class Choice:
    """One part of a selection: a name or glob, the parameters that it sets, and the preset that it names."""

    pattern: str
    parameters: dict[str, Any]
    preset: str | None = None

    @property
    def is_name(self) -> bool:
        """Whether it names one plugin instead of matching several."""
        return self.pattern != "all" and not any(sign in self.pattern for sign in "*?")


def parse(text: str) -> list[Choice]:
    """The choices of a selection, one for each point of a sweep. Raises RequestError for anything malformed."""
    choices: list[Choice] = []
    if len(text) > LONGEST:
        raise RequestError(f"selection {_shown(text)}: has {len(text)} characters; expected at most {LONGEST}")
    for part in _parts(text):
        match = _CHOICE.fullmatch(part)
        if not match:
            raise RequestError(
                f"selection {_shown(text)}: cannot read {_shown(part)}; "
                "expected all, a name, a glob or name[param=value,…]"
            )
        presets, axes = _axes(match["parameters"], text) if match["parameters"] is not None else ([None], {})
        count = len(choices) + len(presets) * math.prod(map(len, axes.values()))
        if count > MOST:
            raise RequestError(f"selection {_shown(text)}: stands for {count} choices; expected at most {MOST}")
        choices += [
            Choice(match["pattern"], dict(zip(axes, values, strict=True)), preset)
            for preset, *values in product(presets, *axes.values())
        ]
    return choices


def choices(kind: str, selected: "str | tuple[str | Plugin | type[Plugin], ...]") -> list[Choice]:
    """The choices of a selection of plugins of this kind, which may have classes and instances among its texts.

    A class stands for its name, an instance for its name with the values of all its parameters. Raises RequestError as
    ``parse``, and for a plugin of another kind.
    """
    found: list[Choice] = []
    for part in (selected,) if isinstance(selected, str) else selected:
        if isinstance(part, str):
            found += parse(part)
            continue
        cls = part if isinstance(part, type) else type(part)
        if cls.kind != kind:
            raise RequestError(f"--{kind}s {cls.__name__}: expected plugins of kind {kind}, it is of kind {cls.kind}")
        values = {} if part is cls else {name: getattr(part, name) for name in cls.model_fields}
        found.append(Choice(cls.name, values))
    return found


def _parts(text: str) -> list[str]:
    """The text cut at the commas that stand outside of brackets."""
    parts, inside = [""], False
    for piece in re.split(r"([,\[\]])", text):
        inside = piece == "[" or (inside and piece != "]")
        if piece == "," and not inside:
            parts.append("")
        else:
            parts[-1] += piece
    return [part.strip() for part in parts]


def is_preset_name(name: str) -> bool:
    """Whether a selection can name a preset so."""
    return bool(_PRESET.fullmatch(name))


def _axes(inside: str, text: str) -> tuple[Sequence[str | None], dict[str, list[Any]]]:
    """The presets that stand in brackets, one None if there is none, and the values of each parameter."""
    presets: list[str] = []
    axes: dict[str, list[Any]] = {}
    for part in inside.split(","):
        name, equals, values = (piece.strip() for piece in part.partition("="))
        words = [word.strip() for word in name.split("|")]
        if not equals and all(map(is_preset_name, words)):
            if presets:
                raise RequestError(
                    f"selection {_shown(text)}: {_shown(presets[-1])} and {_shown(words[0])} have no values; expected "
                    "one preset, parameters as param=value, or presets one after the other as a|b"
                )
            presets = words
            continue
        if not (name.isidentifier() and len(name) <= 100 and equals and values):
            raise RequestError(
                f"selection {_shown(text)}: cannot read {_shown(part.strip())}; expected param=value or a preset's name"
            )
        if name in axes:
            raise RequestError(f"selection {_shown(text)}: {name} is set twice; a sweep is written {name}=a|b")
        axes[name] = [_value(value.strip(), name) for value in values.split("|")]
    return presets or [None], axes


def _value(text: str, name: str) -> Any:
    """Numbers, fractions such as 40/255, true, false and none are what they look like; anything else is text."""
    if text.lower() in ("none", "true", "false"):
        return {"none": None, "true": True, "false": False}[text.lower()]
    if _WHOLE.fullmatch(text):
        if len(text) > 20 or abs(int(text)) > LARGEST:
            raise RequestError(f"{name}={shortened(text)}: expected a whole number of at most {LARGEST}")
        return int(text)
    fraction = _FRACTION.fullmatch(text)
    number = float(text) if _NUMBER.fullmatch(text) else None
    if fraction and float(fraction[2]):
        number = float(fraction[1]) / float(fraction[2])
    if number is None:
        return text
    if not math.isfinite(number):
        raise RequestError(f"{name}={shortened(text)}: expected a finite number")
    return number


def _shown(text: str) -> str:
    return repr(shortened(text))
