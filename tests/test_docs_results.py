"""The results in ``docs/results`` can be rendered again from their records, and are what stands there."""

import re
import shlex
from pathlib import Path

import pandas as pd
import pytest
from stores import bench

from bench.reports import write
from bench.reports.published import published_cells
from bench.results import load

RESULTS = Path(__file__).parents[1] / "docs" / "results"
WITH_RECORDS = sorted(str(path.parent.relative_to(RESULTS)) for path in RESULTS.rglob("records.jsonl"))
HEADINGS = ["attack", "defense"]
FIGURES = ["acc_mean", "asr_mean", "ra_mean", "der_mean", "acc_before_mean", "asr_before_mean", "train_seconds_mean"]


def test_every_folder_has_its_records_or_says_that_it_has_none() -> None:
    without = {path for path in RESULTS.iterdir() if path.is_dir() and not list(path.rglob("records.jsonl"))}
    for folder in without:
        assert "no records" in " ".join((folder / "README.md").read_text().split())


def command_on_the_page(name: str) -> str:
    """How the page of a folder, or the page of several, which says NAME, renders the tables again."""
    folder = RESULTS / name
    page, said = (folder, name) if (folder / "README.md").exists() else (folder.parent, f"{folder.parent.name}/NAME")
    text = (page / "README.md").read_text()
    [command] = re.findall(rf"`bench (report docs/results/{said}/records.jsonl[^`]*)`", text)
    return str(command.replace("NAME", folder.name))


@pytest.mark.parametrize("name", WITH_RECORDS)
def test_the_command_of_the_page_renders_the_tables_again(name, tmp_path, capsys, monkeypatch) -> None:
    monkeypatch.setattr(write, "FIGURES", {})
    command = command_on_the_page(name)
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


def test_how_many_published_cells_are_met_on_cifar10_is_what_the_page_says() -> None:
    """Within 10 points of ASR and 5 of the loss of ACC, of the cells of FT-SAM's paper with three defenses."""
    frame = load(RESULTS / "cifar10" / "records.jsonl").frame
    measured = 100 * frame.groupby(["attack", "defense_label"])[["acc_before", "acc", "asr"]].mean()
    published = {(cell.attack, cell.defense): cell for cell in published_cells() if cell.arxiv == "2304.11823"}
    cells = [cell for cell in published.values() if cell.defense in ("fine_pruning", "i_bau", "ft_sam")]
    outside = []
    for cell in cells:
        ours, undefended = measured.loc[cell.attack, cell.defense], published[cell.attack, "none"]
        more_lost = (ours["acc_before"] - ours["acc"]) - (undefended.acc - cell.acc)
        if abs(ours["asr"] - cell.asr) > 10 or abs(more_lost) > 5:
            outside.append(f"`{cell.defense}` on {cell.attack}")
    page = " ".join((RESULTS / "cifar10" / "README.md").read_text().split())
    [said] = re.findall(r"\*\*(\d+ of \d+) published cells\*\*.*?The others: (.*?)\.\s", page)
    count, named = said
    assert count == f"{len(cells) - len(outside)} of {len(cells)}"
    assert sorted(named.split(", ")) == sorted(outside)
