"""Tests of differences, and the correction for many of them."""

import numpy as np

from bench.reports.uncertainty.quantiles import weighted_p
from bench.reports.uncertainty.samples import Array
from bench.reports.uncertainty.spread import Errors


def p_values(differences: Array, errors: Errors) -> Array:
    """Two-sided p values that ``differences`` are zero; NaN where the standard error is not known.

    p is below 0.05 where the interval of ``errors`` around the difference leaves out zero.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = np.where((errors.se == 0) & (differences == 0), 0, np.abs(differences) / errors.se)
    return np.where(np.isnan(errors.se), np.nan, weighted_p(ratio, errors.df, errors.weight))


def adjusted(p: Array) -> Array:
    """The p values (n,) after Holm's correction; NaN stays and does not count. Holm, Scand. J. Statist. 6 (1979)."""
    out = np.full(p.shape, np.nan)
    order = np.argsort(p)[: np.count_nonzero(~np.isnan(p))]  # NaN last; statsmodels' collects garbage in every call
    out[order] = np.minimum(np.maximum.accumulate(p[order] * np.arange(len(order), 0, -1)), 1)
    return out
