"""Student's quantiles for intervals at 95 %, and back."""

from functools import lru_cache

import numpy as np
from scipy.stats import t as student

from bench.reports.uncertainty.samples import Array

LEVEL = 0.95


def quantile(df: Array | float) -> Array:
    """Student's quantile for an interval at ``LEVEL``, with ``df`` degrees of freedom; NaN where they are not > 0."""
    return np.asarray(student.ppf((1 + LEVEL) / 2, df))


def freedom_of(value: Array) -> Array:
    """The degrees of freedom of which ``value`` is the ``quantile``, from 1 to 1e6, interpolated."""
    quantiles, df = _table()
    return np.asarray(1 / np.interp(-value, -quantiles, 1 / df))


@lru_cache(1)
def _table() -> tuple[Array, Array]:
    df = np.concatenate([np.geomspace(1, 100, 2000), np.geomspace(101, 1e6, 500)])
    return quantile(df), df
