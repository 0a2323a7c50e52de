"""The results as numbers."""

from io import StringIO
from statistics import mean, stdev

import numpy as np
import pandas as pd
import pytest
from report_frames import ATTACKS, DEFENSES, grid

from bench.reports import shown
from bench.reports.blocks import blocks
from bench.reports.tables.csv import csv


def test_csv_gives_back_every_mean_spread_and_number_of_seeds() -> None:
    frame = grid(3)
    table = pd.read_csv(StringIO(csv(blocks(frame))))
    assert len(table) == len(ATTACKS) * len(DEFENSES)
    for line in table.to_dict("records"):
        rows = frame[(frame["attack_label"] == line["attack"]) & (frame["defense_label"] == line["defense"])]
        rows = rows[rows["status"] == "done"]
        assert (line["seeds"], line["done"]) == (3, len(rows))
        for metric in ("acc", "asr", "ra", "der", "defense_seconds", "auroc"):
            values = rows[metric].dropna().tolist()
            assert line[f"{metric}_n"] == len(values)
            assert line[f"{metric}_mean"] == pytest.approx(mean(values) if values else np.nan, abs=1e-12, nan_ok=True)
            assert line[f"{metric}_std"] == pytest.approx(
                stdev(values) if values[1:] else np.nan, abs=1e-12, nan_ok=True
            )
    assert set(table["done"]) == {0, 2, 3}


@pytest.mark.parametrize("rows", ["attacks", "defenses"])
@pytest.mark.parametrize("kind", ["dataset", "model"])
def test_csv_counts_every_record_that_is_left_out_also_of_what_has_no_other(kind: str, rows: str) -> None:
    old = grid(1).assign(finished="2026-01-01T00:00:00+00:00", **{f"{kind}_params": '{"x": 1}'})
    new = grid(1).assign(finished="2027-01-01T00:00:00+00:00")
    few = new[~new["attack"].isin(["sig", "none"]) & ~new["defense"].isin(["bna", "none"])]
    found = blocks(pd.concat([old, few], ignore_index=True), shown=shown(rows=rows))
    table = pd.read_csv(StringIO(csv(found)))
    assert table["left_out"].sum() == len(old)
    assert table["seeds"].sum() == len(few)
    alone = table[table["seeds"] == 0]
    assert {"sig", "none"} < set(alone["attack"])
    assert {"bna", "none"} < set(alone["defense"])
    assert not [name for name in table if name.endswith(("_mean", "_low", "_high")) and alone[name].notna().any()]
