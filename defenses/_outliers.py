"""Outlier tests: is a class's value too small to be chance?

Grubbs' test, the extreme value test, Rosner's generalised test for several outliers, and the index in median absolute
deviations.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import scipy  # its parts are loaded when they are used; scipy.stats is slow to load, and plans test too
import torch
from numpy.typing import NDArray
from torch import Tensor

Array = NDArray[np.float64]

CONSISTENCY = 1.4826  # makes the median absolute deviation of normal values their standard deviation


@dataclass(frozen=True)
class Outlier:
    """What a one-sided test says of the smallest of C values: its class, every class's z (C,), the p value."""

    index: int
    z: Array
    p_value: float


def smallest_is_outlier(values: Array, test: Literal["grubbs", "extreme"] = "grubbs") -> Outlier:
    """A one-sided test whether the smallest of ``values`` (C,) is too small to be chance.

    z = (value - mean) / sample standard deviation is never below -(C-1)/sqrt(C), so with ten classes no value can pass
    a fixed threshold of 3. grubbs: Grubbs, 1950, which accounts for that (Bonferroni's bound of the p value).
    extreme: 1 - (1 - Phi(z))^C, the smallest of C independent standard normal values. Values that are not finite take
    no part: their z is NaN. With fewer than three values nothing can be said: the p value is 1.
    """
    finite = np.isfinite(values)
    count = int(finite.sum())
    z = np.full(len(values), np.nan)
    spread = values[finite].std(ddof=1) if count > 1 else 0.0
    if count < 3 or spread == 0:
        return Outlier(0, z, 1.0)
    z[finite] = (values[finite] - values[finite].mean()) / spread
    index = int(np.nanargmin(z))
    if test == "extreme":
        return Outlier(index, z, float(-np.expm1(count * scipy.special.log_ndtr(-z[index]))))
    # from Grubbs' statistic to Student's t with C - 2 degrees of freedom; ratio = t^2 / (C - 2 + t^2)
    ratio = min(z[index] ** 2 * count / (count - 1) ** 2, 1 - 1e-15)
    student = np.sqrt((count - 2) * ratio / (1 - ratio))
    return Outlier(index, z, float(min(1.0, count * scipy.special.stdtr(count - 2, -student))))


def small_outliers(
    values: Array,
    significance: float,
    at_most: int,
    test: Literal["grubbs", "extreme"] = "grubbs",
    *,
    further: float | None = None,
) -> tuple[list[int], Outlier]:
    """Which of ``values`` (C,) are too small to be chance, smallest first, and the test of the smallest alone.

    The generalised test of Rosner, 1983. The smallest value is tested and removed, ``at_most`` times. The last one that
    is too small decides how many outliers there are, because two equal outliers hide each other from a test of one.
    ``further`` is the level of all tests but the first; ``significance`` if None.
    """
    remaining, removed, count = values.astype(float), [], 0
    first = smallest_is_outlier(values, test)
    for number in range(min(at_most, len(values) - 2)):
        outlier = smallest_is_outlier(remaining, test)
        removed.append(outlier.index)
        if outlier.p_value <= (significance if further is None or not number else further):
            count = number + 1
        remaining[outlier.index] = np.nan
    return removed[:count], first


def too_few_classes(test: str, classes: int, flags: Callable[[int], bool]) -> str | None:
    """Why an outlier test over this number of ``classes`` never flags any, or None if it can.

    test: its name. flags: whether it flags anything, by the number of classes, when its statistic is as extreme as it
    can be (``most_extreme``). Most tests compare a value with the spread of all values, and the fewer there are, the
    more of the spread is that value's own doing.
    """
    if flags(classes):
        return None
    enough = next((count for count in range(classes + 1, 200) if flags(count)), None)
    more = f"; it can from {enough} classes on" if enough else ""
    return f"{test} over {classes} classes can flag none of them, whatever their statistics{more}"


def most_extreme(count: int, outliers: int = 1) -> Array:
    """``count`` values of which the first ``outliers`` are too small as clearly as can be, one by one; below 0.

    Each is so far below the next that those behind it are as good as equal, which makes z as small as it can be:
    -(C-1)/sqrt(C) of C values.
    """
    values = np.full(count, -1.0)
    step = min(1e6, 1e100 ** (1 / max(1, outliers)))
    values[:outliers] = -(step ** np.arange(min(outliers, count), 0, -1))
    return values


def distances_below_inliers(values: Tensor, outlying: Tensor) -> Tensor:
    """How far each of ``values`` (T,) lies below the others that are no outliers, (T,); ``outlying``: a mask (T,).

    In standard deviations of one more value drawn like the others.
    """
    distances = torch.zeros_like(values)
    for index in range(len(values)):
        others = values[[k for k in range(len(values)) if k != index and not outlying[k]]]
        # of one value torch would give NaN too, with a warning
        spread = others.std() if len(others) > 1 else others.new_tensor(torch.nan)
        spread = spread * (1 + 1 / max(1, len(others))) ** 0.5
        distances[index] = (others.mean() - values[index]) / spread.clamp_min(1e-12)
    return distances


def anomaly_index(
    values: Tensor, *, unit: float = CONSISTENCY, median: Literal["linear", "lower"] = "linear"
) -> Tensor:
    """How far each of ``values`` (T,) lies from their median, in ``unit`` median absolute deviations; not negative.

    Wang et al., "Neural Cleanse", S&P 2019. ``median``: of an even number of values, the mean of the two in the middle,
    or the lower of the two.
    """
    away = (values - values.quantile(0.5, interpolation=median)).abs()
    return away / (unit * away.quantile(0.5, interpolation=median)).clamp_min(1e-12)
