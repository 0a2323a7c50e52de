"""Means and standard deviations of several columns at once."""

import numpy as np
import pandas as pd

from bench.reports.stats import RowSet, Stat


def test_means_of_many_columns_are_those_of_each():
    draw = np.random.default_rng(0)
    frame = pd.DataFrame(draw.random((30, 4)), columns=list("abcd"))
    frame["group"], frame.loc[::7, "b"], frame["c"] = ["x", "y", "y"] * 10, np.nan, np.nan
    for (group,), part in RowSet.whole(frame).split("group").items():
        rows = frame[frame["group"] == group]
        for name, stat in part.stats(list("abcd")).items():
            np.testing.assert_allclose((stat.mean, stat.std), (rows[name].mean(), rows[name].std()), rtol=1e-12)
            assert stat.count == rows[name].notna().sum()
            assert repr(stat) == repr(Stat.of(rows[name]))
    alone = RowSet.whole(frame).at(np.array([3])).stats(["a", "c"])
    assert repr(alone) == repr({"a": Stat(float(frame["a"][3]), np.nan, 1), "c": Stat()})
