"""Records under one heading are of one thing; the others are left out and counted."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from report_frames import grid, one_attack, printed

from bench.reports import terminal_table, write_report
from bench.reports.blocks import AVERAGE, blocks
from bench.reports.legend import legend

LATER = "2027-01-01T00:00:00+00:00"


def codes(**changed: str) -> str:
    return json.dumps({"dataset": "d", "model": "m", "attack": "a", "defense": "f"} | changed)


def with_two_codes() -> pd.DataFrame:
    """A defense that was run against badnets with its newer code, and against blend with its older one."""
    frame = grid(1).assign(fingerprints=codes())
    newer = (frame["defense"] == "bna") & (frame["attack"] == "badnets")
    return frame.assign(
        fingerprints=np.where(newer, codes(defense="g"), frame["fingerprints"]),
        finished=np.where(newer, LATER, frame["finished"]),
    )


@pytest.mark.parametrize("kind", ["dataset", "model", "attack", "defense"])
@pytest.mark.parametrize("differing", ["parameters", "code", "plugin"])
def test_two_seeds_of_different_identity_are_never_averaged(kind: str, differing: str) -> None:
    old = one_attack(a=0.5).assign(fingerprints=codes())
    new = one_attack(a=0.9).assign(seed=1, finished=LATER, fingerprints=codes())
    changed = {"parameters": (f"{kind}_params", '{"x":1}'), "code": ("fingerprints", codes(**{kind: "z"}))}
    column, value = changed.get(differing, (kind, "other"))
    new[f"{kind}_label"] = old[f"{kind}_label"]  # the label is the same
    new[column] = value
    [block] = blocks(pd.concat([old, new], ignore_index=True))
    stat = block.cells["blend", "a"].stat("der")
    assert (stat.count, stat.mean) == (1, 0.9)
    assert len(block.left_out) == 2
    [line] = [line for line in legend(block, best="*") if line.startswith("Left out")]
    assert f"of {kind} " in line


def test_the_average_is_never_over_two_codes_of_a_defense() -> None:
    frame = with_two_codes()
    [block] = blocks(frame)
    newest = frame[(frame["defense"] == "bna") & (frame["attack"] == "badnets")]
    assert block.cells[AVERAGE, "bna"].stat("der").mean == pytest.approx(newest["der"].iloc[0])
    assert block.cells[AVERAGE, "bna"].done == 1
    assert block.cells["blend", "bna"].status == "missing"


def test_records_of_no_code_are_one_more_code_only_beside_others() -> None:
    old = one_attack(a=0.5).assign(fingerprints="{}")
    assert blocks(old)[0].left_out.empty
    new = one_attack(a=0.9).assign(seed=1, finished=LATER, fingerprints=codes())
    [block] = blocks(pd.concat([old, new], ignore_index=True))
    assert block.cells["blend", "a"].stat("der").count == 1


def test_failures_have_no_code_and_are_not_left_out_for_it() -> None:
    old = one_attack(a=0.5).assign(fingerprints=codes())
    failed = one_attack(a=0.9).assign(seed=1, finished=LATER, status="failed", fingerprints="{}")
    [block] = blocks(pd.concat([old, failed], ignore_index=True))
    assert block.left_out.empty
    assert (block.cells["blend", "a"].done, block.cells["blend", "a"].total) == (1, 2)


def test_what_was_computed_again_by_newer_code_is_left_out_with_a_line() -> None:
    old = one_attack(a=0.5).assign(fingerprints=codes())
    new = one_attack(a=0.9).assign(finished=LATER, fingerprints=codes(defense="g"))
    [block] = blocks(pd.concat([old, new], ignore_index=True))
    assert block.cells["blend", "a"].stat("der").mean == 0.9
    [line] = [line for line in legend(block, best="*") if line.startswith("Left out")]
    assert "of defense a: other code than the newest" in line


@pytest.mark.usefixtures("no_figures")
def test_every_format_says_what_is_left_out(tmp_path: Path) -> None:
    frame = with_two_codes()
    write_report(frame, tmp_path)
    expected = "4 records of defense bna: other code than the newest"
    for name in ("table.md", "index.html"):
        assert expected in (tmp_path / name).read_text()
    assert expected.replace("bna", "BNA") in (tmp_path / "table.tex").read_text()  # where plugins have display names
    assert expected in " ".join("\n".join(printed(terminal_table(frame, 300), 300)).split())
    table = pd.read_csv(tmp_path / "table.csv").set_index(["attack", "defense"])
    assert table.loc[("sig", "bna"), ["seeds", "left_out"]].tolist() == [0, 1]
    assert table.loc[("sig", "none"), ["seeds", "left_out"]].tolist() == [1, 0]


@pytest.mark.parametrize("kind", ["dataset", "model", "attack", "defense"])
def test_two_labels_of_the_same_parameters_are_one_row_under_the_newest(kind: str) -> None:
    params = {f"{kind}_params": '{"beta": 1}'}
    old = one_attack(a=0.5).assign(fingerprints=codes(), **params)
    new = one_attack(a=0.9).assign(seed=1, finished=LATER, fingerprints=codes(), **params)
    new[f"{kind}_label"] += "[paper]"
    [block] = blocks(pd.concat([old, new], ignore_index=True))
    attack, defense = ("blend[paper]" if kind == "attack" else "blend"), ("a[paper]" if kind == "defense" else "a")
    assert block.cells[attack, defense].stat("der").count == 2
    assert block.left_out.empty
