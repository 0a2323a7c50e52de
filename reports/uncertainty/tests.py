"""Tests of differences, and the correction for many of them."""

import numpy as np
from scipy.stats import t as student

from bench.reports.uncertainty.samples import Array


def p_values(differences: Array, se: Array, df: Array) -> Array:
    """Two-sided p values of Student's test that ``differences`` are zero; NaN where the standard error is not known."""
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = np.where((se == 0) & (differences == 0), 0, np.abs(differences) / se)
    return np.where(np.isnan(se), np.nan, 2 * np.asarray(student.sf(ratio, df)))


def adjusted(p: Array) -> Array:
    """The p values (n,) after Holm's correction; NaN stays and does not count. Holm, Scand. J. Statist. 6 (1979)."""
    out = np.full(p.shape, np.nan)
    order = np.argsort(p)[: np.count_nonzero(~np.isnan(p))]  # NaN last; statsmodels' collects garbage in every call
    out[order] = np.minimum(np.maximum.accumulate(p[order] * np.arange(len(order), 0, -1)), 1)
    return out
