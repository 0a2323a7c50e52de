"""What plugins and the harness noted in a record, read with care: what is not well-formed counts as not noted.

Notes are written by plugins, and records by anybody; no note may end a report or distort a figure of others.
"""

import json
import math
from dataclasses import dataclass
from typing import Any

from bench.records import printable

MOST_CLASSES, MOST_PARTS = 100_000, 1000
_LONGEST_NAME = 60  # characters of a statistic's name
_LARGEST = 1e30  # of a value in a figure: the axes of what is larger cannot be drawn
_ROUNDING = 1e-6


@dataclass(frozen=True)
class ClassStatistic:
    """A number a class, NaN where there is none, and the classes that the defense took for targets."""

    name: str
    values: list[float]
    flagged: set[int]


@dataclass(frozen=True)
class StreamCurve:
    """For each part of a stream the triggered inputs that had passed at its end, and its RA, NaN where it has none."""

    triggered: list[float]
    ra: list[float]


@dataclass(frozen=True)
class Agreement:
    """How well a reconstructed shift agrees with the true change of the latent; NaN where that is not defined."""

    cosine: float
    correlation: float
    length: float


def parsed(text: str, default: Any) -> Any:
    """The value of the JSON ``text``; ``default`` where the text is empty, broken or of another type."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError, TypeError):
        return default
    return value if isinstance(value, type(default)) else default


def class_statistic(diagnostics: str) -> ClassStatistic | None:
    """The class statistic in the JSON text ``diagnostics``. None without a list of values, one of them a number."""
    noted = _object(parsed(diagnostics, {}).get("class_statistic"))
    values = [_number(value, -_LARGEST, _LARGEST) for value in _list(noted.get("values"))]
    if not 0 < len(values) <= MOST_CLASSES or all(map(math.isnan, values)):
        return None
    name = noted.get("name")
    flagged = {label for label in classes(noted.get("flagged")) if label < len(values)}
    return ClassStatistic(printable(name, _LONGEST_NAME) if isinstance(name, str) else "statistic", values, flagged)


def stream_curve(diagnostics: str) -> StreamCurve | None:
    """The stream curve in the JSON text ``diagnostics``. None unless it has a count and a share, or null, a part."""
    noted = _object(parsed(diagnostics, {}).get("stream_curve"))
    triggered, ra = _list(noted.get("triggered")), _list(noted.get("ra"))
    passed = [_number(value, 0, 2**53) for value in triggered]
    shares = [_number(value, 0, 1) for value in ra]
    whole = len(passed) == len(shares) <= MOST_PARTS and not any(map(math.isnan, passed))
    return StreamCurve(passed, shares) if whole and not all(map(math.isnan, shares)) else None


def shift_truth(diagnostics: str) -> dict[int, Agreement]:
    """The agreement of each class's shift in the JSON text ``diagnostics``, without those that say nothing."""
    found = {}
    for label, noted in _object(parsed(diagnostics, {}).get("shift_truth")).items():
        numbers = _object(noted)
        cosine, correlation = (_number(numbers.get(name), -1, 1) for name in ("cosine", "correlation"))
        agreement = Agreement(cosine, correlation, _number(numbers.get("length"), 0, _LARGEST))
        is_class = label.isascii() and label.isdecimal() and len(label) < 10
        if is_class and not all(map(math.isnan, (cosine, correlation, agreement.length))):
            found[int(label)] = agreement
    return found


def classes(noted: Any) -> set[int]:
    """The classes in a list; none of what is no list, and without what is no class."""
    return {int(_number(label, 0, 2**31)) for label in _list(noted) if _is_whole(label)}


def texts(text: str) -> dict[str, str]:
    """The texts in the JSON object ``text``, by name, such as the versions of packages."""
    return {name: value for name, value in parsed(text, {}).items() if isinstance(value, str)}


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _is_whole(value: Any) -> bool:
    number = _number(value, 0, 2**31)
    return not math.isnan(number) and number == int(number)


def _number(value: Any, low: float, high: float) -> float:
    """``value`` as a float; NaN for what is no number, or beyond these bounds by more than rounding."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return math.nan
    return float(value) if low - _ROUNDING <= value <= high + _ROUNDING else math.nan
