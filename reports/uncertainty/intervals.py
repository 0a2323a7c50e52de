"""The 95 % intervals of a block's main table."""

from dataclasses import dataclass
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

    With several seeds, from their spread, and from the test images where their outcomes are known. With one seed,
    Wilson's of a share, from its test images; of DER, from their outcomes, or none where these are not known.
    """
    limits: Limits = {}
    for metric in METRICS:
        found = _of_row(samples, metric, attack)
        limits[metric] = (
            between_0_and_1(found.mean, found.half)
            if metric not in PARTS
            else _ends_of_row(samples, metric, attack, found)
        )
    return limits


def limits_of_average(samples: Samples, rows: Rows) -> Limits:
    """The intervals of the averages over the victims in ``rows``; none without victims."""
    limits: Limits = {}
    for metric in METRICS if rows else ():
        found = _of_victims(samples, metric, rows)
        if metric not in PARTS:
            limits[metric] = between_0_and_1(found.mean, found.half)
            continue
        counts = [samples.image_count(metric, attack, seed) for attack, seeds in rows for seed in seeds]
        fewest = min(filter(None, counts), default=0)
        limits[metric] = _ends_of_share(found, np.where(found.half == 0, fewest, 0))
    return limits


def bounded(stats: dict[str, Stat], limits: Limits, column: int) -> dict[str, Stat]:
    """``stats`` with the ends of a column's intervals."""
    return {
        metric: Stat(stat.mean, stat.std, stat.count, *(float(end[column]) for end in limits[metric]))
        if metric in limits and stat.count
        else stat
        for metric, stat in stats.items()
    }


def limits_of_shares(values: Array, images: Array) -> tuple[Array, Array]:
    """The intervals of shares (C,), means of ``values`` over seeds (C, S) of so many ``images`` each (C, S).

    From the spread over several seeds; with one, or where all agree, Wilson's from the images, if they are not 0.
    """
    return _ends_of_seeds(~np.isnan(values), images, _over_seeds(values))


def wilson(share: Array, count: Array) -> tuple[Array, Array]:
    """Wilson's interval of shares of ``count`` images each; NaN where there are none."""
    with np.errstate(invalid="ignore", divide="ignore"):
        low, high = proportion_confint(share * count, np.where(count > 0, count, np.nan), 1 - LEVEL, method="wilson")
    return np.asarray(low), np.asarray(high)


def between_0_and_1(mean: Array, half: Array) -> tuple[Array, Array]:
    """The interval of a figure whose symmetric one would have half the width ``half``; NaN where that is not above 0.

    It is Wilson's of a share of as many images as would vary like that, whatever the error is from: seeds, images or
    both. Dean and Pagano, Statistics in Medicine 34 (2015), compare such intervals of clustered data. At 0 and at 1 no
    number of images varies so, and the symmetric interval is cut off.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        inside = mean * (1 - mean)
        ratio = np.where(half > 0, half**2 / inside, np.nan)
        middle = (mean + ratio / 2) / (1 + ratio)
        wide = np.sqrt(ratio * inside + ratio**2 / 4) / (1 + ratio)
    cut = (half > 0) & (inside <= 0)
    return (
        np.where(cut, np.maximum(mean - half, 0), middle - wide),
        np.where(cut, np.minimum(mean + half, 1), middle + wide),
    )


@dataclass(frozen=True)
class _Found:
    """Means of one metric and half their symmetric intervals' widths, (C,); 0 where nothing varies, NaN where it is
    not known."""

    mean: Array
    half: Array


def _ends_of_row(samples: Samples, metric: str, attack: int, found: _Found) -> tuple[Array, Array]:
    present = ~np.isnan(samples.figures[metric][attack])
    images = np.array([samples.image_count(metric, attack, seed) for seed in range(len(samples.seeds))])
    return _ends_of_seeds(present, np.broadcast_to(images, present.shape), found)


def _ends_of_seeds(present: Array, images: Array, found: _Found) -> tuple[Array, Array]:
    """A share of one seed, or of seeds that all agree, has the interval of its images; these are of all seeds alike."""
    count = present.sum(axis=1)
    alone = (count == 1) | ((count > 1) & (found.half == 0))
    first = images[np.arange(len(present)), np.argmax(present, axis=1)]
    return _ends_of_share(found, np.where(alone, first, 0))


def _ends_of_share(found: _Found, images: Array) -> tuple[Array, Array]:
    """``images`` (C,) is above 0 for the shares that are judged by so many images alone."""
    low, high = between_0_and_1(found.mean, found.half)
    if not images.any():
        return low, high
    alone = wilson(found.mean, images)
    return np.where(images > 0, alone[0], low), np.where(images > 0, alone[1], high)


def _of_row(samples: Samples, metric: str, attack: int) -> _Found:
    if samples.victims:
        return _of_victims(samples, metric, [(attack, range(len(samples.seeds)))])
    return _over_seeds(samples.figures[metric][attack])


def _of_victims(samples: Samples, metric: str, rows: Rows) -> _Found:
    found = spread(samples, metric, rows)
    return _Found(found.mean, found.own().half)


def _over_seeds(values: Array) -> _Found:
    """Student's of each row; values (C, S)."""
    present = ~np.isnan(values)
    count = present.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.nansum(values, axis=1) / count
        gaps = np.where(present, values - mean[:, None], 0)
        half = _quantiles(values.shape[1])[count] * np.sqrt((gaps**2).sum(axis=1) / (count - 1) / count)
    return _Found(mean, half)


@lru_cache(100)
def _quantiles(most: int) -> Array:
    """For each number of seeds up to ``most``."""
    return np.array([np.nan, np.nan, *quantile(np.arange(1, max(most, 1) + 1))])
