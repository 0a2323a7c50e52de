"""Rules for 95 % intervals that a report could follow, beside the one that it does: coverage.py compares them.

Each takes what is known of one figure, a share or a difference, and gives the ends of its interval. A bootstrap
resamples seeds within each attack and, for all of them alike, test images.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

from bench.reports.uncertainty.intervals import between_0_and_1, wilson
from bench.reports.uncertainty.quantiles import quantile
from bench.reports.uncertainty.spread import Spread

Array = NDArray[Any]
Ends = tuple[float, float]
REPLICATES = 400


@dataclass(frozen=True)
class Figure:
    """A mean over attacks of means over seeds: ``figures`` (A, S), and what each image adds to it, ``parts`` (A, S, N).

    victims (A,), images, both and floor: its variances, as ``Spread`` has them. ``half``: what the report has.
    ``eligible``: the images that a share is of, 0 for a difference.
    """

    figures: Array
    parts: Array
    victims: Array
    images: float
    both: float
    floor: float
    half: float
    eligible: int

    @classmethod
    def of(
        cls, spread: Spread, figures: Array, parts: Array, column: int, less: int = 0, eligible: int = 0
    ) -> "Figure":
        """Of a column, or of its difference from another one; figures (A, C, S) and parts (A, S, C, N)."""
        if not less:
            own = spread.own().half[column]
            chosen = spread.victims[:, column, column], spread.images[column, column], spread.both[column, column]
            return cls(figures[:, column], parts[:, :, column], *chosen, spread.floor, float(own), eligible)
        pair = np.ix_([column, less], [column, less])
        sign = np.array([1.0, -1.0])
        victims = np.array([sign @ own[pair] @ sign for own in spread.victims])
        images, both = (float(sign @ own[pair] @ sign) for own in (spread.images, spread.both))
        own = spread.differences().half[column, less]
        gaps = figures[:, column] - figures[:, less], parts[:, :, column] - parts[:, :, less]
        return cls(*gaps, victims, images, both, spread.floor, float(own), 0)

    @property
    def mean(self) -> float:
        return float(self.figures.mean())

    @property
    def freedom(self) -> int:
        """Degrees of freedom of one attack."""
        return self.figures.shape[1] - 1

    @cached_property
    def replicates(self) -> tuple[Array, Array]:
        """Means of a bootstrap over seeds and images, less the mean, and the variances as the replicates see them."""
        attacks, seeds, images = self.parts.shape
        of_images, of_seeds = _drawn(images, (1,))[:, 0] * images, _drawn(seeds, (attacks,))
        values = self.figures + np.tensordot(of_images / images, self.parts, axes=(1, 2))  # (B, A, S)
        means = (of_seeds * values).sum(axis=2)
        off = values - means[..., None]
        seen = (of_seeds * off**2).sum(axis=2) / max(self.freedom, 1)
        each = np.tensordot(of_seeds.reshape(REPLICATES, -1), self.parts.reshape(-1, images), axes=1) / attacks
        each -= (of_images * each).sum(axis=1, keepdims=True) / images
        shown = (of_images * each**2).sum(axis=1) / images**2
        return means.mean(axis=1) - self.mean, seen.sum(axis=1) / attacks**2 + shown


@cache
def _drawn(count: int, times: tuple[int, ...]) -> Array:
    """Shares of ``count`` things in samples with replacement, (REPLICATES, *times, count), the same for all figures."""
    rng = np.random.default_rng(7)
    return rng.multinomial(count, np.full(count, 1 / count), size=(REPLICATES, *times)) / count


def as_reported(figure: Figure) -> Ends:
    """What a report has."""
    if not figure.eligible:
        return figure.mean - figure.half, figure.mean + figure.half
    return _of_share(figure, figure.half)


def squares(figure: Figure) -> Ends:
    """Satterthwaite's degrees of freedom; with fewer than four, half-widths added by their squares. Symmetric."""
    more, total = max(figure.images + figure.floor - figure.both, 0), figure.victims.sum()
    of_seeds = (figure.victims**2).sum() / figure.freedom
    if figure.freedom * len(figure.victims) < 4:
        half = np.sqrt(quantile(total**2 / of_seeds) ** 2 * total + quantile(np.inf) ** 2 * more) if total else np.nan
    else:
        df = (total + more) ** 2 / (of_seeds + more**2 / figure.parts.shape[2])
        half = quantile(df) * np.sqrt(total + more)
    return figure.mean - half, figure.mean + half


def symmetric(figure: Figure) -> Ends:
    """The half-width of a report, symmetric around a share as well."""
    return figure.mean - figure.half, figure.mean + figure.half


def on_logits(figure: Figure) -> Ends:
    """The half-width of a report, carried over to the logarithm of the odds."""
    if not 0 < figure.mean < 1:
        return _of_share(figure, figure.half)
    half = figure.half / figure.mean / (1 - figure.mean)
    return float(expit(logit(figure.mean) - half)), float(expit(logit(figure.mean) + half))


def on_arcsines(figure: Figure) -> Ends:
    """The half-width of a report, carried over to the arcsine of the root."""
    if not 0 < figure.mean < 1:
        return _of_share(figure, figure.half)
    half = figure.half / 2 / np.sqrt(figure.mean * (1 - figure.mean))
    ends = np.arcsin(np.sqrt(figure.mean)) + np.array([-half, half])
    low, high = np.sin(np.clip(ends, 0, np.pi / 2)) ** 2
    return float(low), float(high)


def percentiles(figure: Figure) -> Ends:
    """The percentile bootstrap over seeds and images."""
    low, high = np.quantile(figure.replicates[0], [0.025, 0.975])
    return figure.mean + low, figure.mean + high


def widened(figure: Figure) -> Ends:
    """The bootstrap's standard error, with the root of S / (S - 1) and Student's quantile of all seeds together."""
    error = figure.replicates[0].std() * np.sqrt((figure.freedom + 1) / figure.freedom)
    half = float(quantile(figure.freedom * len(figure.victims)) * error)
    return figure.mean - half, figure.mean + half


def studentised(figure: Figure) -> Ends:
    """The bootstrap-t: each replicate less the mean, over its own standard error."""
    off, variance = figure.replicates
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = off / np.sqrt(variance)
    low, high = np.quantile(ratio[np.isfinite(ratio)], [0.025, 0.975]) if np.isfinite(ratio).any() else (0.0, 0.0)
    error = np.sqrt(figure.victims.sum() + figure.images)
    return figure.mean - high * error, figure.mean - low * error


def _of_share(figure: Figure, half: float) -> Ends:
    share = np.array([figure.mean])
    low, high = between_0_and_1(share, np.array([half])) if half > 0 else wilson(share, np.array([figure.eligible]))
    return float(low[0]), float(high[0])


OF_SHARES: dict[str, Callable[[Figure], Ends]] = {
    "as reported": as_reported,
    "squares": squares,
    "symmetric": symmetric,
    "logit": on_logits,
    "arcsine": on_arcsines,
    "percentiles": percentiles,
    "widened": widened,
    "bootstrap-t": studentised,
}
OF_DIFFERENCES = {name: OF_SHARES[name] for name in ("as reported", "squares", "percentiles", "widened", "bootstrap-t")}
