"""What all options have in common: the types that they may have, how a value is read, and how a wrong one is named.

An option is one field of ``Request`` (what to compare) or ``RunOptions`` (how to run it); its type is one of those
here. The command line, study files and ``bench.run`` hand their values to these models as they come, so that all three
accept and refuse the same values in the same words.
"""

import math
import operator
import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from numbers import Real
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError
from pydantic.fields import FieldInfo

from bench.errors import OptionError, did_you_mean

_BOUNDS = {"ge": "at least", "gt": "more than", "le": "at most", "lt": "less than"}


@dataclass(frozen=True)
class OptionGroup:
    """A heading of the help, with what is said of all options under it."""

    title: str
    help: str = ""


@dataclass(frozen=True)
class Form:
    """How a value is written on the command line: what stands for it in the help, and whether it may be repeated."""

    placeholder: str
    repeatable: bool = False


class Options(BaseModel):
    """Options with their defaults. Unknown names and values of another type are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    @classmethod
    def read(cls, values: Mapping[str, Any]) -> Self:
        """The options with these values; raises OptionError, which names the first wrong one."""
        try:
            return cls.model_validate(dict(values))
        except ValidationError as error:
            raise _option_error(error, values, cls.model_fields) from None


def flag(name: str) -> str:
    """An option as it is written on the command line: gpu_share is ``--gpu-share``."""
    return f"--{name.replace('_', '-')}"


def unknown_option(name: str, names: Iterable[str]) -> OptionError:
    """The error for an option that does not exist, with the nearest one that does."""
    return OptionError(f"unknown option {flag(name)!r}{did_you_mean(flag(name), map(flag, names))}", name)


def wrong_value(name: str, value: Any, expected: str) -> OptionError:
    """The error for a value that an option does not take."""
    plain = bool(value.strip()) if isinstance(value, str) else not isinstance(value, Iterable)
    shown = " ".join((str(value) if plain else repr(value)).split())
    return OptionError(f"{flag(name)} {shown}: expected {expected}", name)


def _option_error(error: ValidationError, values: Mapping[str, Any], fields: Mapping[str, FieldInfo]) -> OptionError:
    first = error.errors(include_url=False)[0]
    context = first.get("ctx", {})
    if not first["loc"]:  # a rule about several options, which writes its whole message
        return OptionError(str(context["error"]))
    name = str(first["loc"][0])
    if first["type"] == "extra_forbidden":
        return unknown_option(name, fields)
    return wrong_value(name, values[name], _expectation(first["type"], context, fields[name]))


def _expectation(kind: str, context: Mapping[str, Any], field: FieldInfo) -> str:
    if kind.startswith(("greater_than", "less_than")):
        return " and ".join(
            f"{words} {getattr(part, sign):g}"
            for part in field.metadata
            for sign, words in _BOUNDS.items()
            if hasattr(part, sign)
        )
    if kind == "literal_error":
        names = re.findall(r"'([^']*)'", context["expected"])
        return names[0] if len(names) == 1 else f"one of {', '.join(names)}"
    return "true or false" if kind.startswith("bool") else str(context["error"])


def _reader(read: Callable[[Any], Any], expected: str) -> BeforeValidator:
    """A validator that reads a value, and says what was expected if ``read`` cannot."""

    def validate(value: Any) -> Any:
        try:
            return read(value)
        except (TypeError, ValueError, OverflowError):
            raise ValueError(expected) from None

    return BeforeValidator(validate)


def _whole(value: Any) -> int:
    """Python's and numpy's integers, or their text."""
    if isinstance(value, bool):
        raise TypeError
    return int(value) if isinstance(value, str) else operator.index(value)


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, Real | str) or not math.isfinite(float(value)):
        raise TypeError
    return float(value)


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise TypeError
    return value


def _names(value: Any) -> str:
    """A list of texts is one text, with commas."""
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list | tuple) or not texts:
        raise TypeError
    return ",".join(map(_text, texts))


def _seeds(value: Any) -> tuple[int, ...]:
    if isinstance(value, str):
        return tuple(seed for part in value.split(",") for seed in _seed_range(part))
    several = isinstance(value, Iterable) and getattr(value, "ndim", 1) > 0  # not an array that is one number
    if isinstance(value, Mapping | bytes):
        raise TypeError
    seeds = list(value) if several else [value]
    if not seeds or any(isinstance(seed, str) for seed in seeds):
        raise TypeError
    return tuple(map(_whole, seeds))


def _seed_range(text: str) -> range:
    """``3`` is one seed, ``0-4`` are five."""
    ends = re.fullmatch(r"\s*(-?\d+)\s*(?:-\s*(\d+)\s*)?", text)
    seeds = range(int(ends[1]), int(ends[2] or ends[1]) + 1) if ends else range(0)
    if not seeds:
        raise ValueError
    return seeds


def _amount(value: Any) -> str:
    """A number of images or a share of them, as text: 200 or 5%."""
    return _text(value) if isinstance(value, str) else str(_whole(value))


def _path(value: Any) -> Path:
    return Path(_text(os.fspath(value)))


def _directory(value: Any) -> Path:
    path = _path(value)
    if re.match(r"[\w+.-]{2,}:/", os.fspath(value)):
        raise ValueError
    return path


def _paths(value: Any) -> tuple[Path, ...]:
    files = [value] if isinstance(value, str | os.PathLike) else value
    if not isinstance(files, list | tuple):
        raise TypeError
    return tuple(map(_path, files))


Names = Annotated[str, _reader(_names, "names, as one text or as a list of texts"), Form("NAMES", repeatable=True)]
Seeds = Annotated[tuple[int, ...], _reader(_seeds, "whole numbers, such as 0,1 or 0-4"), Form("SEEDS")]
Amount = Annotated[str, _reader(_amount, "a number of images, or a share such as 5%"), Form("AMOUNT")]
Text = Annotated[str, _reader(_text, "text"), Form("TEXT")]
Whole = Annotated[int, _reader(_whole, "a whole number"), Form("N")]
Number = Annotated[float, _reader(_number, "a number"), Form("X")]
Directory = Annotated[Path, _reader(_directory, "a directory, not a URL"), Form("DIR")]
Files = Annotated[
    tuple[Path, ...], _reader(_paths, "the path of a file, or a list of paths"), Form("FILE", repeatable=True)
]
