"""Cells from the data set to the table, on real digits."""

import json
import sys

import pandas as pd
import pytest
import tiny
import torch

import bench
from bench.cell.measure import measure
from bench.engine import worker
from bench.plan.plan import make_plan
from bench.plan.profiles import PROFILES
from bench.plan.registry import Registry
from bench.plan.request import Request
from bench.records import to_frame
from bench.store.store import Store

MEASURED = ["acc", "asr", "ra", "der", "acc_target", "acc_before", "asr_before", "ra_before", "auroc", "tpr", "fpr"]
NAMES = ["dataset", "model", "attack_label", "defense_label", "seed", "status", "reason"]


def test_every_cell_is_done_and_measured(grid):
    frame = grid[0].frame
    assert len(frame) == 6
    assert (frame.status == "done").all(), frame[["attack", "defense", "reason"]].to_string()
    assert frame.acc.between(0, 1).all()
    attacked = frame[frame.attack == "badnets"]
    assert attacked[["asr", "ra", "der", "acc_target", "asr_before"]].notna().all().all()
    assert frame[frame.attack == "none"][["asr", "ra", "der"]].isna().all().all()
    assert (frame.controls == "data").all()
    assert (frame.n_train == 300).all()
    assert (attacked.n_poisoned == 30).all()
    assert (frame.n_test == 359).all()
    assert (attacked.n_triggered == 359 - 36).all()
    assert (frame.ms_per_sample > 0).all()
    assert (frame.peak_memory_mb.isna() if sys.platform != "linux" else frame.peak_memory_mb >= 0).all()
    assert json.loads(frame.packages[0])["torch"] == torch.__version__.split("+")[0]


def test_the_control_column_changes_nothing(grid):
    control = grid[0].frame.query("defense == 'none' and attack == 'badnets'").iloc[0]
    assert control.acc == control.acc_before
    assert control.asr == control.asr_before
    assert control.der == 0.5
    assert control.knowledge == "nothing"


def test_the_table_says_what_each_defender_was_given(grid):
    given = dict(zip(grid[0].frame.defense, grid[0].frame.knowledge, strict=False))
    assert given["fine_pruning"] == "40 clean"
    assert "40 clean + 20" in given["fire"]


def test_one_victim_serves_every_defense(grid):
    assert grid[1].count("victims") == 2


def test_metrics_follow_from_stored_predictions_alone(grid, digits):
    _, store = grid
    plan = make_plan(Request(**digits, attacks="badnets", defenses="fine_pruning"), Registry(), None)
    [cell] = plan.cells
    again = measure(cell.victim.key, store, store.tensors("cells", cell.key, "predictions.safetensors"), {}, False)
    record = store.record(cell.key)
    assert {name: again[name] for name in ("acc", "asr", "ra", "der")} == {
        name: getattr(record, name) for name in ("acc", "asr", "ra", "der")
    }


def test_a_second_run_computes_nothing_and_gives_the_same_table(grid, digits, monkeypatch):
    def never(*args):
        raise AssertionError("computed again")

    monkeypatch.setattr(worker, "make_stage", never)
    results, store = grid
    again = bench.run(**digits, attacks="none,badnets", defenses="none,fine_pruning,fire", store=store.root)
    pd.testing.assert_frame_equal(again.frame, results.frame)


def test_a_cell_is_labelled_as_its_request_names_it(digits, tmp_path, monkeypatch):
    request = {**digits, "defenses": "none", "store": tmp_path / "store", "executor": "inline"}
    assert bench.run(**request, attacks="badnets[size=4]").frame.attack_label.tolist() == ["badnets[size=4]"]
    monkeypatch.setitem(PROFILES["quick"].parameters, "badnets", {"size": 4})
    assert bench.run(**request, attacks="badnets").frame.attack_label.tolist() == ["badnets"]
    assert Store(tmp_path / "store").count("victims") == 1


@pytest.fixture(scope="module")
def with_failures(digits, tmp_path_factory) -> tuple[bench.Results, Store]:
    """The cells of ``grid`` in two workers, and beside them all that a plugin can do wrong; see also test_faults."""
    store = tmp_path_factory.mktemp("failures") / "store"
    results = bench.run(
        **digits,
        attacks="none,badnets,toobright",
        defenses="none,fine_pruning,fire,raises,notnumbers,declines,curious",
        plugin=[tiny.PLUGIN_FOLDER / "trouble.py", tiny.PLUGIN_FOLDER / "curious.py"],
        store=store,
        executor="local",
        workers=2,
    )
    return results, Store(store)


@pytest.mark.slow  # the next one holds it for two runs by two executors
def test_two_runs_agree_to_the_last_digit(grid, digits, tmp_path):
    again = bench.run(
        **digits, attacks="none,badnets", defenses="none,fine_pruning,fire", store=tmp_path, executor="inline"
    )
    pd.testing.assert_frame_equal(again.frame[NAMES + MEASURED], grid[0].frame[NAMES + MEASURED])


def test_two_executors_agree_to_the_last_digit_even_beside_failures(grid, with_failures):
    keys = {record.key for record in grid[0].records}
    local = to_frame([record for record in with_failures[0].records if record.key in keys])
    pd.testing.assert_frame_equal(local[NAMES + MEASURED], grid[0].frame[NAMES + MEASURED])


@pytest.mark.parametrize(
    ("defense", "status", "reason"),
    [
        ("raises", "failed", "RuntimeError: this defense is broken"),
        ("notnumbers", "failed", "not finite"),
        ("declines", "not-applicable", "needs another attack than badnets"),
        ("curious", "done", None),
        ("none", "done", None),
    ],
)
def test_a_failure_fails_only_its_own_cell(with_failures, defense, status, reason):
    row = with_failures[0].frame.query(f"attack == 'badnets' and defense == '{defense}'").iloc[0]
    assert row.status == status
    assert reason in row.reason if reason else row.reason is None or pd.isna(row.reason)
    assert not with_failures[0].ok


def test_the_traceback_of_a_failure_is_stored(with_failures):
    row = with_failures[0].frame.query("attack == 'badnets' and defense == 'raises'").iloc[0]
    trace = (with_failures[1].folder("failures", row.key) / "traceback.txt").read_text()
    assert "in repair" in trace
    assert "is broken" in trace


def test_the_cells_of_a_failed_victim_fail_with_its_reason(with_failures):
    rows = with_failures[0].frame.query("attack == 'toobright' and defense == 'none'")
    assert rows.status.tolist() == ["failed"]
    assert "its victim could not be made: ValueError: toobright: trigger left [0, 1]" in rows.reason.iloc[0]


def test_a_defense_gets_what_it_declared_and_nothing_else(with_failures):
    row = with_failures[0].frame.query("attack == 'badnets' and defense == 'curious'").iloc[0]
    seen = json.loads(row.diagnostics)
    assert seen["known"] == [40, [20, 1, 8, 8], [20, 1, 8, 8]]
    assert seen["context"] == ["device", "diagnostics", "generator", "log", "progress"]
    assert row.knowledge == "40 clean + 20 pairs"
    assert not pd.isna(row.auroc)
    assert not pd.isna(row.tpr)
