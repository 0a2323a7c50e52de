"""What all options have in common: the types that they may have, how a value is read, and how a wrong one is named.

An option is one field of ``Request`` (what to compare) or ``RunOptions`` (how to run it); its type is one of those
here. The command line, study files and ``bench.run`` hand their values to these models as they come, so that all three
accept and refuse the same values in the same words.
"""

import math
import operator
import os
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import chain, islice
from numbers import Real
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError
from pydantic.fields import FieldInfo

from bench.errors import OptionError, did_you_mean, shortened

LARGEST = 2**63 - 1  # of whole numbers: what torch and tables can hold
MOST_SEEDS = 10_000
_LONGEST_NAME, _LONGEST_PATH = 255, 4095  # bytes, on the usual file systems
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
    written = shortened(flag(name))
    return OptionError(f"unknown option {written!r}{did_you_mean(written, map(flag, names))}", name)


def wrong_value(name: str, value: Any, expected: str) -> OptionError:
    """The error for a value that an option does not take."""
    plain = bool(value.strip()) if isinstance(value, str) else not isinstance(value, Iterable)
    try:
        shown = str(value) if plain else repr(value)
    except (ValueError, RecursionError):  # an integer of 5,000 digits; a table of 3,000 levels
        shown = f"(a {type(value).__name__} too large to show)"
    return OptionError(f"{flag(name)} {shortened(' '.join(shown.split()))}: expected {expected}", name)


def directory_named(name: str, value: Any) -> Path:
    """The path of a directory that is there or could be made; raises OptionError for another value of option ``name``.

    For an option of a single command: those of the models are read by their types.
    """
    try:
        path = _directory(value)
        if path.exists() and not path.is_dir():
            raise _Unfit("a directory, this is a file")
    except (TypeError, ValueError, OSError) as error:
        raise wrong_value(name, value, str(error) if isinstance(error, _Unfit) else "a directory, not a URL") from None
    return path


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


class _Unfit(ValueError):
    """A value of the right form that cannot be used; its message says what was expected."""


def _reader(read: Callable[[Any], Any], expected: str) -> BeforeValidator:
    """A validator that reads a value, and says what was expected if ``read`` cannot."""

    def validate(value: Any) -> Any:
        try:
            return read(value)
        except _Unfit:
            raise
        except (TypeError, ValueError, OverflowError, OSError):
            raise ValueError(expected) from None

    return BeforeValidator(validate)


def _whole(value: Any) -> int:
    """Python's and numpy's integers, or their text."""
    if isinstance(value, bool):
        raise TypeError
    number = int(value) if isinstance(value, str) else operator.index(value)
    if abs(number) > LARGEST:
        raise _Unfit(f"a whole number of at most {LARGEST}")
    return number


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, Real | str) or not math.isfinite(float(value)):
        raise TypeError
    return float(value)


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise TypeError
    if not all(sign.isprintable() or sign.isspace() for sign in value):  # surrogates are not printable either
        raise _Unfit("text without control characters")
    return value


def _names(value: Any) -> str:
    """A list of texts is one text, with commas."""
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list | tuple) or not texts:
        raise TypeError
    return ",".join(map(_text, texts))


def _plugins(value: Any) -> str | tuple[Any, ...]:
    """As ``_names``; a list that has classes or instances of plugins is a tuple of these and of texts."""
    parts = [value] if isinstance(value, str) or is_plugin(value) else value
    if not isinstance(parts, list | tuple) or not any(map(is_plugin, parts)):
        if any(isinstance(part, type) or callable(part) for part in (parts if isinstance(parts, list) else [parts])):
            raise _Unfit("names, or classes and instances of plugins")
        return _names(value)
    return tuple(part if is_plugin(part) else _text(part) for part in parts)


def is_plugin(value: Any) -> bool:
    """Whether it is the class or an instance of a plugin. Nothing is imported: there is none before its base is."""
    base: Any = getattr(sys.modules.get("bench.plugin.base"), "Plugin", ())
    return isinstance(value, base) or (isinstance(value, type) and issubclass(value, base))


def _seeds(value: Any) -> tuple[int, ...]:
    if isinstance(value, str):
        return tuple(chain.from_iterable(_few([_seed_range(part) for part in value.split(",")])))
    several = isinstance(value, Iterable) and getattr(value, "ndim", 1) > 0  # not an array that is one number
    if isinstance(value, Mapping | bytes):
        raise TypeError
    seeds = list(islice(value, MOST_SEEDS + 1)) if several else [value]
    if not seeds or any(isinstance(seed, str) for seed in seeds):
        raise TypeError
    return tuple(map(_whole, chain.from_iterable(_few([seeds]))))


def _few(parts: list[Any]) -> list[Any]:
    """The parts, if they are not too many seeds together."""
    sizes = (part.stop - part.start if isinstance(part, range) else len(part) for part in parts)  # len() has a limit
    if sum(sizes) > MOST_SEEDS:
        raise _Unfit(f"at most {MOST_SEEDS} seeds")
    return parts


def _seed_range(text: str) -> range:
    """``3`` is one seed, ``0-4`` are five."""
    ends = re.fullmatch(r"\s*(-?\d+)\s*(?:-\s*(\d+)\s*)?", text)
    if not ends:
        raise ValueError
    seeds = range(_whole(ends[1]), _whole(ends[2] or ends[1]) + 1)
    if seeds.stop <= seeds.start:
        raise ValueError
    return seeds


def _amount(value: Any) -> str:
    """A number of images or a share of them, as text: 200 or 5%."""
    return _text(value) if isinstance(value, str) else str(_whole(value))


def _path(value: Any) -> Path:
    text = _text(os.fspath(value))
    path, size = Path(text), len(os.fsencode(text))
    if size > _LONGEST_PATH or any(len(os.fsencode(part)) > _LONGEST_NAME for part in path.parts):
        raise _Unfit(f"a path whose names have at most {_LONGEST_NAME} bytes each, and {_LONGEST_PATH} in all")
    return path


def _directory(value: Any) -> Path:
    path = _path(value)
    if re.match(r"[\w+.-]{2,}:/", os.fspath(value)):
        raise ValueError
    place = path
    while not os.path.lexists(place) and place != place.parent:
        place = place.parent
    if place != path and not place.is_dir():
        raise _Unfit(f"a directory; {shortened(str(place))} is none")
    if os.path.realpath(place).split("/")[1] in ("proc", "sys"):
        raise _Unfit("a directory outside of /proc and /sys")
    return path


def _paths(value: Any) -> tuple[Path, ...]:
    files = [value] if isinstance(value, str | os.PathLike) else value
    if not isinstance(files, list | tuple):
        raise TypeError
    return tuple(map(_path, files))


Names = Annotated[str, _reader(_names, "names, as one text or as a list of texts"), Form("NAMES", repeatable=True)]
Plugins = Annotated[
    str | tuple[Any, ...],
    _reader(_plugins, "names, as one text or as a list of texts"),
    Form("NAMES", repeatable=True),
]
Seeds = Annotated[tuple[int, ...], _reader(_seeds, "whole numbers, such as 0,1 or 0-4"), Form("SEEDS")]
Amount = Annotated[str, _reader(_amount, "a number of images, or a share such as 5%"), Form("AMOUNT")]
Text = Annotated[str, _reader(_text, "text"), Form("TEXT")]
Whole = Annotated[int, _reader(_whole, "a whole number"), Form("N")]
Number = Annotated[float, _reader(_number, "a number"), Form("X")]
Directory = Annotated[Path, _reader(_directory, "a directory, not a URL"), Form("DIR")]
Files = Annotated[
    tuple[Path, ...], _reader(_paths, "the path of a file, or a list of paths"), Form("FILE", repeatable=True)
]
