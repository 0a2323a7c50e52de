"""Quantiles for intervals and tests of which only a part of the variance is uncertain, and back.

A sum of two variances, of which one is known from few seeds and the other from many images, has the mean of Student's
and the normal quantile, weighted by the variances. Cochran, Biometrics 20 (1964).
"""

import numpy as np
from scipy.special import ndtri, stdtrit
from scipy.stats import norm
from scipy.stats import t as student

from bench.reports.uncertainty.samples import Array

LEVEL = 0.95
_HALVINGS = 30  # of an interval of logarithms of p: to a millionth of what it is
_SMALLEST = -700.0  # logarithm of a p value; below it quantiles have no number


def quantile(df: Array | float) -> Array:
    """Student's quantile for an interval at ``LEVEL``, with ``df`` degrees of freedom; NaN where they are not > 0."""
    return np.asarray(student.ppf((1 + LEVEL) / 2, df))


def weighted_quantile(df: Array, weight: Array) -> Array:
    """The quantile for an interval at ``LEVEL`` where ``weight`` of the variance, in [0, 1], has ``df`` degrees of
    freedom, and the rest is known."""
    return np.asarray(weight * np.where(weight > 0, quantile(df), 0) + (1 - weight) * quantile(np.inf))


def weighted_p(ratio: Array, df: Array, weight: Array) -> Array:
    """The two-sided p value at which ``weighted_quantile`` would be ``ratio``, which is at least 0; NaN stays."""
    p = np.where(weight > 0, 2 * student.sf(ratio, df), 2 * norm.sf(ratio))
    mixed = (weight > 0) & (weight < 1) & (ratio > 0) & np.isfinite(ratio)
    if mixed.any():
        p[mixed] = _solved(ratio[mixed], df[mixed], weight[mixed])
    return np.asarray(p)


def _solved(ratio: Array, df: Array, weight: Array) -> Array:
    """By halving, between the p values of the normal distribution and of Student's."""
    low = np.maximum(np.log(2) + norm.logsf(ratio), _SMALLEST)
    high = np.maximum(np.log(2) + student.logsf(ratio, df), _SMALLEST)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        half = np.exp(middle) / 2
        far = np.abs(stdtrit(df, half))  # inf or NaN where it is too far out for scipy to find: above any ratio
        above = ~(weight * far - (1 - weight) * ndtri(half) <= ratio)
        low, high = np.where(above, middle, low), np.where(above, high, middle)
    return np.asarray(np.exp((low + high) / 2))
