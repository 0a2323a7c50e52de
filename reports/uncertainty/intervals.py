"""The 95 % intervals of a block's main table."""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from statsmodels.stats.proportion import proportion_confint

from bench.reports.records import METRICS
from bench.reports.stats import Stat
from bench.reports.uncertainty.quantiles import LEVEL, quantile
from bench.reports.uncertainty.samples import PARTS, Array, Samples
from bench.reports.uncertainty.spread import Rows, spread

Limits = dict[str, tuple[Array, Array]]
"""By metric, the lower and the upper ends of each column's interval, (C,); NaN where there is none."""


def limits_of_attack(samples: Samples, attack: int) -> Limits:
    """The intervals of one attack's row of figures, whether its victims count in averages or not.

    With several seeds, Student's from their spread, and from the test images where their outcomes are known. With one
    seed, Wilson's of a share, from its test images; of DER, from their outcomes, or none where these are not known.
    """
    limits: Limits = {}
    for metric in METRICS:
        values = samples.figures[metric][attack]
        if samples.victims:
            low, high = _student(samples, metric, [(attack, range(len(samples.seeds)))])
        else:
            low, high = _over_seeds(values)
        if metric in PARTS:
            low, high = _with_wilson(samples, metric, attack, low, high)
        limits[metric] = low, high
    return limits


def limits_of_average(samples: Samples, rows: Rows) -> Limits:
    """The intervals of the averages over the victims in ``rows``; none without victims."""
    return {metric: _student(samples, metric, rows) for metric in METRICS if rows}


def bounded(stats: dict[str, Stat], limits: Limits, column: int) -> dict[str, Stat]:
    """``stats`` with the ends of a column's intervals."""
    return {
        metric: Stat(stat.mean, stat.std, stat.count, *(float(end[column]) for end in limits[metric]))
        if metric in limits and stat.count
        else stat
        for metric, stat in stats.items()
    }


def wilson(share: Array, count: Array) -> tuple[Array, Array]:
    """Wilson's interval of shares of ``count`` images each; NaN where there are none."""
    with np.errstate(invalid="ignore", divide="ignore"):
        low, high = proportion_confint(share * count, np.where(count > 0, count, np.nan), 1 - LEVEL, method="wilson")
    return np.asarray(low), np.asarray(high)


def _student(samples: Samples, metric: str, rows: Sequence[tuple[int, Sequence[int]]]) -> tuple[Array, Array]:
    found = spread(samples, metric, rows)
    errors = found.own()
    half = np.where(errors.se > 0, quantile(errors.df) * errors.se, np.nan)
    return np.clip(found.mean - half, 0, 1), np.clip(found.mean + half, 0, 1)


def _over_seeds(values: Array) -> tuple[Array, Array]:
    """Student's interval of each row's mean; values (C, S)."""
    present = ~np.isnan(values)
    count = present.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.nansum(values, axis=1) / count
        gaps = np.where(present, values - mean[:, None], 0)
        half = _quantiles(values.shape[1])[count] * np.sqrt((gaps**2).sum(axis=1) / (count - 1) / count)
    half[~(half > 0)] = np.nan
    return np.clip(mean - half, 0, 1), np.clip(mean + half, 0, 1)


def _with_wilson(samples: Samples, metric: str, attack: int, low: Array, high: Array) -> tuple[Array, Array]:
    """Wilson's interval for a share of one seed, and for one whose seeds all have the same value.

    All seeds have the same test images, so that in the latter case these count once.
    """
    values = samples.figures[metric][attack]
    count = (~np.isnan(values)).sum(axis=1)
    alone = (count == 1) | ((count > 1) & np.isnan(low))
    if not alone.any():
        return low, high
    images = np.array([samples.image_count(metric, attack, seed) for seed in range(len(samples.seeds))])
    first = np.argmax(~np.isnan(values), axis=1)
    ends = wilson(np.take_along_axis(values, first[:, None], axis=1)[:, 0], images[first])
    return np.where(alone, ends[0], low), np.where(alone, ends[1], high)


@lru_cache(100)
def _quantiles(most: int) -> Array:
    """For each number of seeds up to ``most``."""
    return np.array([np.nan, np.nan, *quantile(np.arange(1, max(most, 1) + 1))])
