"""Rows of a frame of records, and means and standard deviations over them."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache, cached_property
from math import isnan, nan
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

if TYPE_CHECKING:
    pass


Array = NDArray[Any]


@dataclass(frozen=True)
class Stat:
    """Mean and sample standard deviation of ``count`` values; std is NaN for fewer than two."""

    mean: float = nan
    std: float = nan
    count: int = 0

    @classmethod
    def of(cls, values: Iterable[float]) -> "Stat":
        column = values if isinstance(values, np.ndarray) else np.fromiter(values, dtype=np.float64)
        column = column[~np.isnan(column)]
        if not len(column):
            return cls()
        return cls(float(column.mean()), float(column.std(ddof=1)) if len(column) > 1 else nan, len(column))

    @classmethod
    def of_each(cls, lines: list[Array]) -> "list[Stat]":
        """``of`` for each of several lines of equally many float64 values, in one go where no value is missing."""
        values = np.array(lines)
        count = values.shape[1]
        if count < 2:
            return [cls.of(line) for line in values]
        means, stds = values.mean(axis=1).tolist(), values.std(axis=1, ddof=1).tolist()
        return [
            cls.of(line) if isnan(mean) else cls(mean, std, count)
            for line, mean, std in zip(values, means, stds, strict=True)
        ]


@dataclass(frozen=True)
class Part:
    """Some rows of a frame, by their ``places`` in its columns: a frame for every cell would cost seconds."""

    column: Callable[[str], Array]
    places: NDArray[np.intp]

    @classmethod
    def whole(cls, rows: pd.DataFrame) -> "Part":
        return cls(cache(lambda name: rows[name].to_numpy()), np.arange(len(rows)))

    def __getitem__(self, column: str) -> Array:
        return self.column(column)[self.places]

    def __len__(self) -> int:
        return len(self.places)

    def at(self, chosen: Array) -> "Part":
        """The rows at these of its own places, or where a mask says so."""
        return Part(self.column, self.places[chosen])

    def split(self, *columns: str) -> "dict[tuple[str, ...], Part]":
        """A part for each combination of values in ``columns``."""
        found: dict[tuple[str, ...], list[int]] = {}
        for place, key in enumerate(zip(*(self[name] for name in columns), strict=True)):
            found.setdefault(key, []).append(place)
        return {key: self.at(np.array(places)) for key, places in found.items()}

    @cached_property
    def done(self) -> "Part":
        return self.at(self["status"] == "done")

    def stats(self, columns: list[str]) -> dict[str, Stat]:
        """Mean and standard deviation of several columns of numbers."""
        return dict(zip(columns, Stat.of_each([self[name] for name in columns]), strict=True))
