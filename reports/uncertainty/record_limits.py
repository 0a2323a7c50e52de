"""The 95 % interval of every share of every single record."""

import numpy as np
import pandas as pd

from bench.reports.uncertainty.intervals import wilson
from bench.reports.uncertainty.samples import Array

_OF = {"acc": "n_test", "asr": "n_triggered", "ra": "n_triggered"}


def with_limits(frame: pd.DataFrame) -> pd.DataFrame:
    """``frame`` with the columns acc_low to ra_high: Wilson's interval from the number of test images of one record.

    A frame that lacks these numbers stays as it is.
    """
    ends: dict[str, Array] = {}
    for metric, number in _OF.items():
        if metric in frame and number in frame:
            share, count = (pd.to_numeric(frame[name], errors="coerce").to_numpy(float) for name in (metric, number))
            low, high = wilson(share, np.nan_to_num(count))
            ends |= {f"{metric}_low": low, f"{metric}_high": high}
    return frame.assign(**ends)
