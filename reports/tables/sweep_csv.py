"""What a figure of a sweep shows, as numbers."""

import pandas as pd

from bench.reports.records import BEFORE, METRICS
from bench.reports.sweeps import Sweep
from bench.reports.tables.csv import plain


def sweep_csv(sweep: Sweep) -> str:
    """A line for each attack, line and value: mean, sample standard deviation and count over seeds, in [0, 1]."""
    columns = [*METRICS, *(f"{metric}_before" for metric in BEFORE)]
    lines: list[dict[str, object]] = []
    for heading, own in sweep.lines.items():
        for line in own:
            for value in [value for value in sweep.points if value in line.rows]:
                told = plain(value) if isinstance(value, str) else value
                lines.append({"attack": plain(heading), "line": plain(line.label), "parameter": sweep.parameter})
                lines[-1]["value"] = told
                for metric, stat in line.rows[value].stats(columns).items():
                    lines[-1] |= {f"{metric}_mean": stat.mean, f"{metric}_std": stat.std, f"{metric}_n": stat.count}
    return pd.DataFrame(lines).to_csv(index=False, lineterminator="\n")
