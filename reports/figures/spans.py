"""How far an axis reaches: to all values, or, where a few lie far away, only to the others."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

_FEWEST = 8  # values of which some can be called far away
_FAR = 3  # times the distance of the quartiles, from them
_FEW = 0.1  # of the values at most are left outside; else they are no outliers
_PAD = 0.06  # of the axis, on each side
_DIGITS = 1e-6  # of the values themselves: a shorter axis cannot be numbered


@dataclass(frozen=True)
class Span:
    """The ends of an axis; what lies beyond is drawn at the end, with an arrow and its value."""

    low: float
    high: float

    def beyond(self, value: float) -> int:
        """-1 below the axis, 1 above it, 0 on it."""
        return int(value > self.high) - int(value < self.low)

    def held(self, value: float) -> float:
        """The value itself, or the end of the axis that is nearest to it."""
        return min(max(value, self.low), self.high)


def span(values: Iterable[float], *, least: float = 0.0, gained: float = 2) -> Span:
    """An axis for ``values``, of which NaN does not count, at least ``least`` long.

    What lies far away is left outside if the axis is at least ``gained`` times shorter without it.
    """
    present = np.array([value for value in values if value == value], dtype=np.float64)
    if not len(present):
        return Span(0.0, max(least, 1.0))
    low, high = float(present.min()), float(present.max())
    if len(present) >= _FEWEST:
        first, third = np.quantile(present, [0.25, 0.75])
        reach = _FAR * max(third - first, least / 2)
        near = present[(present >= first - reach) & (present <= third + reach)]
        closer = max(float(np.ptp(near)), least, 1e-12)
        if len(near) >= (1 - _FEW) * len(present) and (high - low) >= gained * closer:
            low, high = float(near.min()), float(near.max())
    missing = max(0.0, least - (high - low)) / 2
    pad = max(_PAD * max(high - low, least), _DIGITS * max(abs(low), abs(high))) or 1.0
    return Span(low - missing - pad, high + missing + pad)
