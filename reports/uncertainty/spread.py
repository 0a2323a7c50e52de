"""Means over victims of one metric in every column, and how far off they may be.

Two things vary: the victims, from seed to seed, and the test images, which all victims share. So the error of a mean
is that of a crossed design. Its variance is the sum of what the means of the seeds tell (within each attack, since the
attacks are chosen and not drawn) and of what the images tell, less what both of them count: the interaction. That is
the variance that a cluster bootstrap over seeds and images has, with n / (n - 1) for the seeds, and without counting
the interaction twice (Owen, Ann. Appl. Stat. 1 (2007)). What the seeds tell has the degrees of freedom of Welch
(Biometrika 34 (1947), as Stata's ``ttest, welch``). docs/findings/statistics.md has what other rules do.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bench.reports.uncertainty.quantiles import weighted_quantile
from bench.reports.uncertainty.samples import PARTS, Array, Samples, Victim

Rows = Sequence[tuple[int, Sequence[int]]]
"""Which victims a mean is over: places of attacks, each with the places of its seeds."""


@dataclass(frozen=True)
class Errors:
    """Standard errors ``se`` of figures, or of their differences; NaN where they are not known.

    ``weight`` of the variance, in [0, 1], is known from the seeds, with ``df`` degrees of freedom; the rest is from the
    test images.
    """

    se: Array
    df: Array
    weight: Array

    @classmethod
    def of_sum(cls, victims: Array, freedom: Array, images: Array, both: Array) -> "Errors":
        """From the variances of figures (…): of ``victims``, those of each attack (A, …) with their degrees of
        ``freedom``, and of the ``images``, less what ``both`` tell; NaN where they are not known.

        Of seeds that agree to the last image, the images alone tell.
        """
        seen, shown = ~np.isnan(victims).any(axis=0), ~np.isnan(images)
        of_seeds = np.where(seen, victims, 0)
        of_images = np.where(shown, images, 0)
        more = np.where(seen, np.maximum(of_images - both, 0), of_images)
        total = of_seeds.sum(axis=0)
        variance = np.where(seen | shown, total + more, np.nan)
        variance = np.where(shown & (variance <= 0), of_images, variance)
        with np.errstate(invalid="ignore", divide="ignore"):
            weight = np.where(variance > 0, total / variance, seen.astype(float))
        return cls(np.sqrt(np.maximum(variance, 0)), _freedom(of_seeds, freedom), weight)

    @property
    def half(self) -> Array:
        """Half the width of the 95 % interval around the figure."""
        return weighted_quantile(self.df, self.weight) * self.se

    def of(self, places: Any) -> "Errors":
        """Those at some places, which index all of the arrays."""
        return Errors(self.se[places], self.df[places], self.weight[places])


@dataclass(frozen=True)
class Spread:
    """The ``mean`` (C,) of each column, over attacks of the means over seeds, and covariances of its error.

    victims (A, C, C): from the spread over seeds, each attack's part, NaN where there is one seed; ``freedom`` (A, C,
    C) are its degrees of freedom. images (C, C): from the test images, NaN where they are not known; ``both`` (C, C):
    what the two have in common. ``floor``: the variance of a difference that is left where all images agree;
    ``own_floor`` that of a mean, 0 for a share, whose interval is then that of its images alone.
    """

    mean: Array
    victims: Array
    freedom: Array
    images: Array
    both: Array
    floor: float
    own_floor: float

    def own(self) -> Errors:
        """The errors of the means, (C,)."""
        places = np.arange(len(self.mean))
        chosen = (..., places, places)
        images = self.images[chosen]
        images = np.where(images == 0, self.own_floor, images)
        return Errors.of_sum(self.victims[chosen], self.freedom[chosen], images, self.both[chosen])

    def differences(self) -> Errors:
        """The errors of the differences between any two means, (C, C)."""
        victims, images, both = map(_of_differences, (self.victims, self.images, self.both))
        return Errors.of_sum(victims, self.freedom, images + self.floor, both)


def spread(samples: Samples, metric: str, rows: Rows) -> Spread:
    """Of one metric over the victims in ``rows``. A mean leaves out the attacks that a column has no value of."""
    key = metric, tuple((attack, tuple(seeds)) for attack, seeds in rows)
    if key not in samples.worked_out:
        samples.worked_out[key] = _spread(samples, metric, rows)
    found: Spread = samples.worked_out[key]
    return found


def _spread(samples: Samples, metric: str, rows: Rows) -> Spread:
    values = [samples.figures[metric][attack][:, list(seeds)] for attack, seeds in rows]
    counts = np.array([(~np.isnan(own)).sum(axis=1) for own in values], dtype=float).reshape(len(rows), -1)
    sums = np.array([np.nansum(own, axis=1) for own in values]).reshape(counts.shape)
    with np.errstate(invalid="ignore", divide="ignore"):
        means = sums / counts
        weights = np.where(counts > 0, 1 / (counts > 0).sum(axis=0), 0)
        mean = np.where((counts > 0).any(axis=0), (weights * np.nan_to_num(means)).sum(axis=0), np.nan)
    victims, freedom = _over_seeds(values, means, weights)
    images, both, floor = _over_images(samples, metric, rows, weights)
    return Spread(mean, victims, freedom, images, both, floor, 0.0 if metric in PARTS else floor)


def _over_seeds(values: list[Array], means: Array, weights: Array) -> tuple[Array, Array]:
    """Each attack's covariance of the mean over seeds, weighted, and its degrees of freedom, both (A, C, C)."""
    of_one, together = [], []
    for own, mean in zip(values, means, strict=True):
        present = (~np.isnan(own)).astype(float)
        gaps = np.nan_to_num(own - mean[:, None])
        common = present @ present.T
        with np.errstate(invalid="ignore", divide="ignore"):
            of_one.append(np.where(common > 1, gaps @ gaps.T / (common - 1), np.nan))
        together.append(common)
    single, common = np.array(of_one), np.array(together)
    known = ~np.isnan(single)
    with np.errstate(invalid="ignore", divide="ignore"):
        usual = np.where(known.any(axis=0), np.nansum(single, axis=0) / known.sum(axis=0), np.nan)
        filled = np.where(known, single, usual)  # an attack with one seed is taken to vary as the others do
        covariance = np.where(common > 0, filled / common, 0) * weights[:, :, None] * weights[:, None, :]
    covariance[:, ~known.any(axis=0)] = np.nan
    return covariance, np.where(known, common - 1, np.inf)


def _over_images(samples: Samples, metric: str, rows: Rows, weights: Array) -> tuple[Array, Array, float]:
    """Covariance from the test images, the part of it that the seeds tell too, and the floor."""
    size = len(samples.columns)
    unknown = np.zeros(size, dtype=bool)
    sums: dict[int, Array] = {}  # by number of images: victims with as many share them
    both, floor = np.zeros((size, size)), 0.0
    for (attack, seeds), weight in zip(rows, weights, strict=True):
        values = samples.figures[metric][attack]
        victims = [(samples.victims.get((attack, seed)), ~np.isnan(values[:, seed])) for seed in seeds]
        for victim, present in victims:
            unknown |= present & ~(victim.known if victim else np.zeros(size, dtype=bool))
        known = [(victim, present) for victim, present in victims if victim and present.any()]
        if not known:
            continue
        mean, within, counted = _of_attack(metric, known)
        if not counted:
            continue
        number = len(mean[0])
        sums[number] = (
            sums.get(number, np.zeros((size, number), np.float32)) + weight[:, None].astype(np.float32) * mean
        )
        both += within * weight[:, None] * weight[None]
        floor += (1.0 if metric == "der" else 2.0) / (counted + 2) ** 2 / len(rows) ** 2
    images = sum((total @ total.T / number**2 for number, total in sums.items()), np.zeros((size, size)))
    images = images.astype(float)
    if not sums:
        unknown[:] = True
    images[unknown], images[:, unknown] = np.nan, np.nan
    return images, both, floor


def _of_attack(metric: str, known: list[tuple[Victim, Array]]) -> tuple[Array, Array, int]:
    """An attack's contributions as means over seeds (C, N), what varies of them from seed to seed, as a covariance of
    these means (C, C), and how many images the metric is of."""
    size = len(known[0][1])
    total, products = np.zeros((size, known[0][0].size), np.float32), np.zeros((size, size))
    common, counted = np.zeros((size, size)), 0
    for victim, present in known:
        parts = victim.contributions(metric) if victim.size == total.shape[1] else None
        if parts is None:
            continue
        parts = parts * present[:, None]
        total += parts
        products += parts @ parts.T / victim.size
        common += np.outer(present, present)
        counted = victim.counted("asr" if metric == "der" else metric)
    mean = total / np.maximum(common.diagonal(), 1)[:, None].astype(np.float32)
    with np.errstate(invalid="ignore", divide="ignore"):
        within = (products - common * (mean @ mean.T) / total.shape[1]) / (common - 1) / (total.shape[1] * common)
    return mean, np.where(common > 1, within, 0), counted


def _freedom(victims: Array, freedom: Array) -> Array:
    """Welch's degrees of freedom of a sum of variances: between those of one attack and those of all together.

    Satterthwaite's have no 2 in them, and are far too few where each attack has one or two.
    """
    known = np.isfinite(freedom)
    most = np.where(known, freedom, 0).sum(axis=0)
    least = np.where(known, freedom, np.inf).min(axis=0, initial=np.inf)
    with np.errstate(invalid="ignore", divide="ignore"):
        df = victims.sum(axis=0) ** 2 / (victims**2 / (freedom + 2)).sum(axis=0) - 2
    return np.asarray(np.where(np.isnan(df), most, np.clip(df, np.minimum(least, most), most)))


def _of_differences(covariance: Array) -> Array:
    """The variances of the differences between any two of the variables whose covariances are (…, C, C)."""
    own = np.diagonal(covariance, axis1=-2, axis2=-1)
    return np.asarray(np.maximum(own[..., :, None] + own[..., None, :] - 2 * covariance, 0))
