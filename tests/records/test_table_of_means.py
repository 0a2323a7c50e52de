"""A table of means knows labels and no parameters: whatever its lines are of stays apart when it is read again."""

from pathlib import Path

import pandas as pd
import pytest
from some_records import cell

from bench.records import read_records, to_frame
from bench.reports.blocks import Block, blocks
from bench.reports.sweeps import sweeps
from bench.reports.tables.csv import csv

KINDS = ("dataset", "model", "attack", "defense")
VARIANTS = {
    **{f"{kind}_label": "two" for kind in KINDS},
    "recipe": "quick[epochs=3]",
    "profile": "paper",
    "knowledge": "50 clean",
    "oracle": True,
    "evaluated_on": "validation",
}


def with_variant(what: str) -> pd.DataFrame:
    """One attack by three defenses, and the same again, of which one thing is another; of a defense, one alone."""
    own = to_frame([cell("blend", name) for name in ("none", "bna", "tac")])
    changed: dict[str, object] = {what: VARIANTS[what]}
    if what.endswith("_label"):
        own[what] = own[what.removesuffix("_label")]
        changed = {what: own[what] + "[paper]", what.replace("label", "params"): '{"x": 1}'}
    halved = {name: own[name] / 2 for name in ("acc", "der")}
    other = own.assign(**changed, **halved, key=own["key"].str[::-1])
    if what in ("defense_label", "knowledge", "oracle"):
        other = other[other["defense"] == "bna"]
    return pd.concat([own, other], ignore_index=True)


def figures(compared: list[Block]) -> dict[tuple[str, str, str], list[float]]:
    return {
        (block.title, attack, name): [round(cell.stat(metric).mean, 9) for metric in ("acc", "der")]
        for block in compared
        for (attack, name), cell in block.cells.items()
        if attack in block.attacks and cell.status == "done"
    }


@pytest.mark.parametrize("what", VARIANTS)
def test_no_line_of_a_table_stands_under_the_name_of_another(what: str, tmp_path: Path) -> None:
    compared = blocks(with_variant(what))
    lines = csv(compared).splitlines(keepends=True)
    [first, *_] = [at for at, line in enumerate(lines) if at and ",none," not in line]
    (tmp_path / "table.csv").write_text("".join(line for at, line in enumerate(lines) if at != first))
    found = to_frame(read_records(tmp_path / "table.csv")[0])
    found.to_parquet(tmp_path / "results.parquet")  # and once more, as a report of the table writes it
    again = figures(blocks(to_frame(read_records(tmp_path / "results.parquet")[0])))
    expected = sorted(figures(compared).values())
    assert all(value in expected for value in again.values())
    assert len(again) == len(set(map(tuple, again.values()))) == len(expected) - 1


def test_two_variants_of_a_table_are_no_line_of_a_sweep(tmp_path: Path) -> None:
    rows = to_frame([cell("sig", "tac"), cell("sig", "bna"), cell("sig", "none")])
    for count, label in ((10, "tac[beta=1]"), (20, "tac[beta=2]")):
        more = rows[rows["defense"] == "tac"].assign(defense_label=label, knowledge=f"{count} clean", reference=count)
        rows = pd.concat([rows, more.assign(defense_params=f'{{"beta": {count}}}')], ignore_index=True)
    (tmp_path / "table.csv").write_text(csv(blocks(rows[rows["defense_label"] != "tac"])))
    found = blocks(to_frame(read_records(tmp_path / "table.csv")[0]))
    with pytest.raises(ValueError, match="no results differ in this alone"):
        sweeps(found, ["sweep:reference"])
