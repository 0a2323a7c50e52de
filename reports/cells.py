"""The cells of a block: figures of an attack against a defense, over how many of the attack's victims they are."""

from dataclasses import dataclass, field
from math import isnan, nan
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.reports.records import BEFORE, LOWER_IS_BETTER, METRICS
from bench.reports.stats import RowSet, Stat


@dataclass(frozen=True)
class Cell:
    """One attack against one defense. ``done`` of ``total`` seeds (of the average: of all attacks) have every figure.

    ``total`` is the same in a whole row: the seeds that the attack has in the block, under whatever defense. So figures
    that stand side by side are over the same victims, unless ``done`` is less.

    status is "done" as soon as one seed is done. Else it is the gravest status of the records, "missing" where there
    is no record, or "undefined" for the average of attacks none of which is done.
    """

    status: str = "missing"
    stats: dict[str, Stat] = field(default_factory=dict)
    done: int = 0
    total: int = 0

    def stat(self, metric: str) -> Stat:
        """Mean and spread over seeds of one of ``METRICS``, such as "acc", in [0, 1]; NaN where there is none."""
        return self.stats.get(metric, Stat())

    def place(self, metric: str) -> tuple[bool, bool, float]:
        """A key by which the best mean comes first, then those of which a part is missing, then those without any."""
        mean = self.stat(metric).mean
        signed = mean if metric in LOWER_IS_BETTER else -mean
        return isnan(mean), self.done < self.total, 0.0 if isnan(mean) else signed


def whole(records: pd.DataFrame) -> NDArray[np.bool_]:
    """Which ``records`` (n,) of a block are done and lack no figure that others have.

    That is each metric which is known of the victim, under any defense, and of the defense, on any victim: a defense
    that only flags has no DER anywhere.
    """
    done = (records["status"] == "done").to_numpy()
    victim = records.groupby(["attack_label", "seed"], sort=False).ngroup().to_numpy()
    defense = records.groupby("column", sort=False).ngroup().to_numpy()
    lacking = np.zeros(len(records), dtype=bool)
    for metric in METRICS:
        known = done & records[metric].notna().to_numpy()
        lacking |= _any_of(victim, known) & _any_of(defense, known) & ~known
    return np.asarray(done & ~lacking)


def cells_of(
    records: pd.DataFrame, attacks: list[str], defenses: list[str]
) -> tuple[dict[str, Cell], dict[tuple[str, str], Cell]]:
    """Each attack's undefended network, and each attack against each defense.

    ``records`` have the columns of ``bench.reports.records.complete`` and the column ``whole``.
    """
    everything = RowSet.whole(records)
    of_attack, of_cell = everything.split("attack_label"), everything.split("attack_label", "column")
    totals = {attack: _total(of_attack[attack,]) for attack in attacks}
    before = {attack: _before(of_attack[attack,], totals[attack]) for attack in attacks}
    none = everything.at(np.arange(0))
    pairs = ((attack, name) for attack in attacks for name in defenses)
    return before, {pair: _cell(of_cell.get(pair, none), totals[pair[0]]) for pair in pairs}


def average(cells: list[Cell]) -> Cell:
    """Means over attacks of the means over seeds, with no spread; ``done`` and ``total`` count seeds of all attacks."""
    means = {metric: Stat.of(cell.stat(metric).mean for cell in cells).mean for metric in METRICS}
    status = "done" if any(cell.status == "done" for cell in cells) else "undefined"
    stats = {name: Stat(mean, nan, 1) for name, mean in means.items()}
    return Cell(status, stats, sum(cell.done for cell in cells), sum(cell.total for cell in cells))


def _any_of(group: NDArray[Any], known: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """For each record whether any record of its group is ``known``; groups are numbered from 0."""
    found = np.zeros(len(group), dtype=bool)
    found[group[known]] = True
    return np.asarray(found[group])


def _total(records: RowSet) -> int:
    """The seeds of an attack, in a table of means those of the mean over most."""
    return max(len(np.unique(records["seed"])), int(records["means_over"].max(initial=0)))


def _over(records: RowSet) -> int:
    """Over how many seeds some records of one cell are, one a seed or one for a mean over some."""
    return int(np.maximum(records["means_over"], 1).sum())


def _cell(records: RowSet, total: int) -> Cell:
    if not len(records.done):
        return Cell(_gravest_status(records), total=total)
    return Cell("done", records.done.stats(METRICS), _over(records.at(records["whole"])), total)


def _before(records: RowSet, total: int) -> Cell:
    """The undefended network, seed by seed: the control's own values, else those that other defenses started from."""
    records = records.at(np.argsort(records["defense"] != "none", kind="stable"))
    control = (records["defense"] == "none") & (records["status"] == "done")
    seeds, stats, over = records["seed"], {}, []
    for metric in BEFORE:
        before = records[f"{metric}_before"]
        values = np.where(np.isnan(before) & control, records[metric], before)
        present = np.flatnonzero(~np.isnan(values))
        _, first = np.unique(seeds[present], return_index=True)
        stats[metric] = Stat.of(values[present][first])
        if len(first):
            over.append(_over(records.at(present[first])))
    if not stats["acc"].count:
        return Cell(_gravest_status(records), total=total)
    return Cell("done", stats, min(over), total)


def _gravest_status(records: RowSet) -> str:
    """The gravest status of records of which none is done."""
    present = set(records["status"])
    return next((status for status in ("failed", "timeout", "not-applicable") if status in present), "missing")
