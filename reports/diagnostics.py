"""What plugins and the harness noted in a record, read with care: what does not fit its type counts as not noted.

Records may be anybody's; no note may end a report or distort a figure of others. The types are those that notes are
written with, ``bench.records.note_types``.
"""

import math
from functools import cached_property
from typing import Any, TypeVar, cast

from pydantic import BaseModel, ValidationError

from bench.records.columns import json_value
from bench.records.note_types import (
    KINDS,
    Activations,
    Agreement,
    ChannelActivations,
    ClassStatistic,
    ShiftTruth,
    StreamCurve,
)

_Note = TypeVar("_Note", bound=BaseModel)


class Noted(str):
    """The JSON text of a record's notes. However many figures and tables read it, it is parsed and checked once."""

    def note(self, name: str, kind: type[_Note]) -> _Note | None:
        """The note of this name; None where there is none, or one that is not of its ``kind``."""
        if name not in self._checked:
            self._checked[name] = _checked(self._values.pop(name, None), kind)
        return cast("_Note | None", self._checked[name])

    @cached_property
    def _values(self) -> dict[str, Any]:
        """What is not checked yet. Free notes are let go: they may be large, and reports do not show them."""
        return {name: value for name, value in parsed(self, {}).items() if name in KINDS}

    @cached_property
    def _checked(self) -> dict[str, BaseModel | None]:
        return {}


def parsed(text: str, default: Any) -> Any:
    """The value of the JSON ``text``; ``default`` where the text is empty, broken or of another type."""
    try:
        value = json_value(text)
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
    noted = diagnostics if isinstance(diagnostics, Noted) else Noted(diagnostics)
    return noted.note(name, kind)


def _checked(value: Any, kind: type[_Note]) -> _Note | None:
    try:
        return None if value is None else kind.model_validate(value)
    except ValidationError:
        return None
