"""What plugins and the harness noted in a record, read with care: what does not fit its type counts as not noted.

Records may be anybody's; no note may end a report or distort a figure of others. The types are those that notes are
written with, ``bench.records.note_types``.
"""

import json
import math
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from bench.records.note_types import Activations, Agreement, ChannelActivations, ClassStatistic, ShiftTruth, StreamCurve

_Note = TypeVar("_Note", bound=BaseModel)


def parsed(text: str, default: Any) -> Any:
    """The value of the JSON ``text``; ``default`` where the text is empty, broken or of another type."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError, TypeError):
        return default
    return value if isinstance(value, type(default)) else default


def class_statistic(diagnostics: str) -> ClassStatistic | None:
    """The class statistic in the JSON text ``diagnostics``; None without one of which a value is a number."""
    noted = _read(diagnostics, "class_statistic", ClassStatistic)
    return noted if noted and not all(map(math.isnan, noted.values)) else None


def stream_curve(diagnostics: str) -> StreamCurve | None:
    """The stream curve in the JSON text ``diagnostics``; None without one of which an RA is a number."""
    noted = _read(diagnostics, "stream_curve", StreamCurve)
    return noted if noted and not all(map(math.isnan, noted.ra)) else None


def shift_truth(diagnostics: str) -> dict[int, Agreement]:
    """The agreement of each class's shift in the JSON text ``diagnostics``, without those that say nothing."""
    noted = _read(diagnostics, "shift_truth", ShiftTruth)
    return {
        int(label): one
        for label, one in (noted.root if noted else {}).items()
        if not all(map(math.isnan, (one.cosine, one.correlation, one.length)))
    }


def activations(diagnostics: str) -> dict[int, list[ChannelActivations]]:
    """By target class the channels whose activations the JSON text ``diagnostics`` has."""
    noted = _read(diagnostics, "activations", Activations)
    return {int(label): channels for label, channels in (noted.root if noted else {}).items() if channels}


def classes(noted: list[Any]) -> set[int]:
    """The classes in a list, without what is no class."""
    return {label for label in noted if type(label) is int and 0 <= label < 2**31}


def texts(text: str) -> dict[str, str]:
    """The texts in the JSON object ``text``, by name, such as the versions of packages."""
    return {name: value for name, value in parsed(text, {}).items() if isinstance(value, str)}


def _read(diagnostics: str, name: str, kind: type[_Note]) -> _Note | None:
    try:
        return kind.model_validate(parsed(diagnostics, {}).get(name))
    except ValidationError:
        return None
