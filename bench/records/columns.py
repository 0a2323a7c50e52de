"""The types of a record's columns. They bound what a record can hold, whoever wrote the file that it is read from."""

import json
import math
import re
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer
from pydantic_core import from_json

from bench.records.texts import LogLines, printable

NAN = math.nan
LARGEST = 1e12  # of any figure: enough for seconds, megabytes and distances
MOST_JSON = 2**24  # characters of a column that holds JSON
DEEPEST = 50  # lists and objects within each other
_SHORT = 2000  # characters
_UNPRINTABLE = re.compile(r"[^ -~]")  # in ASCII; of the others some
_ENDLESS = re.compile(r"\d{4000}")  # longer numbers are refused by Python's reader
_ROUNDING = 1e-6  # by which a figure may pass its bounds


def within(low: float, high: float) -> AfterValidator:
    """Bounds of a number that is NaN where there is nothing to measure."""

    def bounded(value: float) -> float:
        if math.isnan(value) or low - _ROUNDING <= value <= high + _ROUNDING:
            return value
        raise ValueError(f"{value}: expected a number from {low:g} to {high:g}")

    return AfterValidator(bounded)


def json_value(text: str) -> Any:
    """What a JSON text says. Raises ValueError, or RecursionError where it is nested too deep to be read."""
    if len(text) >= _SHORT and not _ENDLESS.search(text):
        with suppress(ValueError):  # of what only Python's own reader takes, such as half a surrogate pair
            return from_json(text)  # in a fraction of the time
    return json.loads(text)


def _json_of(check: Callable[[Any], bool], kind: str) -> AfterValidator:
    """Accepts the JSON text of a value that passes ``check``; ``kind``: what is expected, in words."""

    def checked(text: str) -> str:
        try:
            value = json_value(text)
        except (ValueError, RecursionError):
            raise ValueError(f"{printable(text, 40)!r}: expected JSON") from None
        if not check(value) or _too_deep(text, value):
            raise ValueError(f"{printable(text, 40)!r}: expected JSON, {kind}")
        return _escaped(text)

    known = lru_cache(1000)(checked)  # parameters and versions are the same in many records
    return AfterValidator(lambda text: known(text) if len(text) < _SHORT else checked(text))


def _escaped(text: str) -> str:
    """The same JSON with every character that is not printable escaped; outside of strings are only spaces."""
    return text if text.isprintable() else _UNPRINTABLE.sub(_escape, text)


def _escape(found: "re.Match[str]") -> str:
    sign = found[0]
    return sign if sign in "\n\r\t" or sign.isprintable() else json.dumps(sign)[1:-1]


def _too_deep(text: str, value: Any) -> bool:
    level = [value] if text.count("[") + text.count("{") > DEEPEST else []
    depth = 0
    while level and depth < DEEPEST:
        inner = [one.values() if isinstance(one, dict) else one for one in level]
        level = [one for several in inner for one in several if isinstance(one, dict | list)]
        depth += 1
    return bool(level)


def _is_object(value: Any) -> bool:
    return isinstance(value, dict)


def _is_texts(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(one, str) for one in value.values())


def _is_names(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) for one in value)


def _is_classes(value: Any) -> bool:
    return isinstance(value, list) and all(type(one) is int and 0 <= one < 2**31 for one in value)


def _is_shares(value: Any) -> bool:
    return isinstance(value, list) and all(
        one is None or (type(one) in (int, float) and 0 <= one <= 1) for one in value
    )


def _is_name(text: str) -> str:
    if printable(text, 100) != text:
        raise ValueError(f"{printable(text, 40)!r}: expected at most 100 printable characters")
    return text


def _line(value: Any) -> Any:
    return printable(value) if isinstance(value, str) else value


def _lines(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    lines = LogLines()
    for line in value.split("\n", LogLines.MOST)[: LogLines.MOST]:
        lines.append(line)
    return lines.text


Status = Literal["done", "not-applicable", "failed", "timeout"]
Identified = Literal["", "right", "wrong", "none"]
EvaluatedOn = Literal["test", "validation"]

# numbers: finite; NaN, which is null in JSON, where there is nothing to measure
Number = Annotated[
    float,
    BeforeValidator(lambda value: NAN if value is None else value),
    PlainSerializer(lambda value: None if math.isnan(value) else value, when_used="json"),
]
Share = Annotated[Number, within(0, 1)]
Similarity = Annotated[Number, within(-1, 1)]
Positive = Annotated[Number, within(0, LARGEST)]
Signed = Annotated[Number, within(-LARGEST, LARGEST)]
Count = Annotated[int, Field(ge=0, le=2**53)]
Seed = Annotated[int, Field(ge=-(2**63), lt=2**63)]

# texts: printable and of bounded length; only names are refused for what others are cut or spelled out
Name = Annotated[str, AfterValidator(_is_name)]
Line = Annotated[str, BeforeValidator(_line)]
OptionalLine = Annotated[str | None, BeforeValidator(_line)]
Lines = Annotated[str, BeforeValidator(_lines)]

# JSON texts
Parameters = Annotated[str, Field(max_length=MOST_JSON), _json_of(_is_object, "an object")]
Texts = Annotated[str, Field(max_length=MOST_JSON), _json_of(_is_texts, "an object of texts")]
Names = Annotated[str, Field(max_length=MOST_JSON), _json_of(_is_names, "a list of texts")]
Classes = Annotated[str, Field(max_length=MOST_JSON), _json_of(_is_classes, "a list of classes")]
Shares = Annotated[str, Field(max_length=MOST_JSON), _json_of(_is_shares, "a list of shares, or null for none")]
