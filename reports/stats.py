"""Sets of rows of a frame of records, and means and standard deviations over them."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache, cached_property
from math import isnan, nan
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Array = NDArray[Any]
DECIMALS = 1  # of a percentage; two DERs that agree in them count as equal


@dataclass(frozen=True)
class Stat:
    """Mean and sample standard deviation of ``count`` values; std is NaN for fewer than two, mean for none.

    low and high bound the mean's 95 % interval, in the mean's unit; NaN where there is none.
    """

    mean: float = nan
    std: float = nan
    count: int = 0
    low: float = nan
    high: float = nan

    @classmethod
    def of(cls, values: Iterable[float]) -> "Stat":
        """Over the values that are not NaN."""
        column = values if isinstance(values, np.ndarray) else np.fromiter(values, dtype=np.float64)
        column = column[~np.isnan(column)]
        if not len(column):
            return cls()
        return cls(float(column.mean()), float(column.std(ddof=1)) if len(column) > 1 else nan, len(column))

    @classmethod
    def of_each(cls, columns: list[Array]) -> "list[Stat]":
        """``of`` for each of several columns of equally many float64 values, at once where no value is NaN."""
        values = np.array(columns)
        count = values.shape[1]
        if not count:
            return [cls()] * len(values)
        if count == 1:
            return [cls() if isnan(value) else cls(value, nan, 1) for value in values[:, 0].tolist()]
        means, stds = values.mean(axis=1).tolist(), values.std(axis=1, ddof=1).tolist()
        return [
            cls.of(column) if isnan(mean) else cls(mean, std, count)
            for column, mean, std in zip(values, means, stds, strict=True)
        ]


@dataclass(frozen=True)
class RowSet:
    """Some rows of a frame: the frame's columns, shared, and the rows' ``positions`` in them, (n,) from 0.

    It stands for a frame of its own, which for every cell of a large grid would take seconds to make.
    """

    column: Callable[[str], Array]
    positions: NDArray[np.intp]

    @classmethod
    def whole(cls, frame: pd.DataFrame) -> "RowSet":
        """All rows of ``frame``."""
        return cls(cache(lambda name: frame[name].to_numpy()), np.arange(len(frame)))

    def __getitem__(self, column: str) -> Array:
        """The values of a column in these rows, (n,). A column that the frame lacks raises KeyError."""
        return self.column(column)[self.positions]

    def __len__(self) -> int:
        return len(self.positions)

    def at(self, chosen: Array) -> "RowSet":
        """Those of these rows that ``chosen`` names, by their index in this set or by a mask (n,)."""
        return RowSet(self.column, self.positions[chosen])

    def split(self, *columns: str) -> "dict[tuple[str, ...], RowSet]":
        """The rows of each combination of values in ``columns``, in the order in which these first appear."""
        groups: dict[tuple[str, ...], list[int]] = {}
        for index, key in enumerate(zip(*(self[name] for name in columns), strict=True)):
            groups.setdefault(key, []).append(index)
        return {key: self.at(np.array(indices)) for key, indices in groups.items()}

    @cached_property
    def done(self) -> "RowSet":
        """Those of these rows whose status is "done"."""
        return self.at(self["status"] == "done")

    def stats(self, columns: list[str]) -> dict[str, Stat]:
        """Mean and standard deviation of several columns of numbers."""
        return dict(zip(columns, Stat.of_each([self[name] for name in columns]), strict=True))
