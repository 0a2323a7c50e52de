"""The results in ``docs/results`` can be rendered again from their records, and are what stands there."""

import re
import shlex
from pathlib import Path

import pandas as pd
import pytest
from stores import bench

from bench.reports import write
from bench.results import load

RESULTS = Path(__file__).parents[1] / "docs" / "results"
WITH_RECORDS = sorted(path.parent.name for path in RESULTS.glob("*/records.jsonl"))
HEADINGS = ["attack", "defense"]
FIGURES = ["acc_mean", "asr_mean", "ra_mean", "der_mean", "acc_before_mean", "asr_before_mean", "train_seconds_mean"]


def test_every_folder_has_its_records_or_says_that_it_has_none() -> None:
    folders = {path.name for path in RESULTS.iterdir() if path.is_dir()}
    assert set(WITH_RECORDS) <= folders
    for name in folders - set(WITH_RECORDS):
        assert "no records" in " ".join((RESULTS / name / "README.md").read_text().split())


@pytest.mark.parametrize("name", sorted(path.name for path in RESULTS.iterdir() if path.is_dir()))
def test_the_command_of_the_page_renders_the_tables_again(name, tmp_path, capsys, monkeypatch) -> None:
    monkeypatch.setattr(write, "FIGURES", {})
    [command] = re.findall(r"`bench (report docs/results/[^`]*)`", (RESULTS / name / "README.md").read_text())
    monkeypatch.chdir(RESULTS.parents[1])
    assert bench(capsys, *shlex.split(command), "--out", tmp_path)[0] == 0
    made, kept = (pd.read_csv(folder / "table.csv").set_index(HEADINGS) for folder in (tmp_path, RESULTS / name))
    made, kept = (table[table["done"] == table["seeds"]] for table in (made, kept))
    assert list(made.index) == list(kept.index)
    for figure in FIGURES:
        pd.testing.assert_series_equal(made[figure], kept[figure], rtol=1e-9)
    page = (RESULTS / name / "table.md").read_text()
    der = made.drop("none", level="defense")["der_mean"].dropna()  # the page shows none of an undefended network
    assert all(f"{100 * value:.1f}" in page for value in der)


def test_no_record_names_a_directory_of_the_machine() -> None:
    assert not [
        record.command
        for record in load(*(RESULTS / name for name in WITH_RECORDS))
        if re.search(r"(^|[ =])/", record.command)
    ]
