"""The whole way of a cell, from the data set to the table, on real digits."""

import json
import math

import pandas as pd
import pytest
import torch

import bench
from bench.cell.loaded import LoadedVictim
from bench.cell.measure import measure
from bench.cell.reference import known as knowledge
from bench.cell.workshop import Workshop
from bench.engine import worker
from bench.plan.plan import make_plan
from bench.plan.profiles import PROFILES
from bench.plan.registry import Registry
from bench.plan.request import Request
from bench.store.store import Store

GRID = {
    "datasets": "digits[train_size=300]",
    "models": "resnet18[width=4]",
    "reference": 40,
    "suspects": 20,
}
MEASURED = ["acc", "asr", "ra", "der", "acc_target", "acc_before", "asr_before", "ra_before", "auroc", "tpr", "fpr"]
NAMES = ["dataset", "model", "attack_label", "defense_label", "seed", "status", "reason"]

PLUGINS = '''
from typing import ClassVar
import torch
from bench import Attack, Prediction, Repair, Runtime

class Raises(Repair):
    name: ClassVar[str] = "raises"
    def repair(self, model, known, context):
        raise RuntimeError("this defense\\nis broken")

class Declines(Repair):
    name: ClassVar[str] = "declines"
    def unsupported(self, case):
        return f"needs another attack than {case.attack.name}"
    def repair(self, model, known, context):
        raise AssertionError("was not to be called")

class NotNumbers(Repair):
    name: ClassVar[str] = "notnumbers"
    def repair(self, model, known, context):
        for parameter in model.parameters():
            parameter.data.fill_(float("nan"))
        return model

class Curious(Runtime):
    """Counts what it sees and reports all that it was given."""
    name: ClassVar[str] = "curious"
    knowledge: ClassVar[str] = "suspects"
    @property
    def wants_pairs(self):
        return True
    @property
    def learns_from_stream(self):
        return True
    def guard(self, model, known, context):
        context.note("known", [len(known.clean), list(known.suspects.shape), list(known.originals.shape)])
        context.note("context", sorted(vars(context)))
        def guarded(images):
            assert len(images) == 1
            return Prediction(model(images), score=images.mean((1, 2, 3)), flagged=images.mean((1, 2, 3)) > 0.3)
        return guarded

class BadAttack(Attack):
    name: ClassVar[str] = "badattack"
    def trigger(self, images, context):
        return images * 3
'''


@pytest.fixture(scope="module")
def grid(tmp_path_factory) -> tuple[bench.Results, Store]:
    root = tmp_path_factory.mktemp("grid") / "store"
    results = bench.run(
        **GRID, attacks="none,badnets", defenses="none,fine_pruning,fire", store=root, executor="inline"
    )
    return results, Store(root)


def test_every_cell_is_done_and_measured(grid):
    frame = grid[0].frame
    assert len(frame) == 6
    assert (frame.status == "done").all(), frame[["attack", "defense", "reason"]].to_string()
    assert frame.acc.between(0, 1).all()
    attacked = frame[frame.attack == "badnets"]
    assert attacked[["asr", "ra", "der", "acc_target", "asr_before"]].notna().all().all()
    assert frame[frame.attack == "none"][["asr", "ra", "der"]].isna().all().all()
    assert (frame.n_train == 300).all()
    assert (attacked.n_poisoned == 30).all()
    assert (frame.n_test == 359).all()
    assert (attacked.n_triggered == 359 - 36).all()
    assert (frame.ms_per_sample > 0).all()
    assert (frame.peak_memory_mb > 0).all()
    assert json.loads(frame.packages[0])["torch"] == torch.__version__.split("+")[0]


def test_the_control_column_changes_nothing(grid):
    control = grid[0].frame.query("defense == 'none' and attack == 'badnets'").iloc[0]
    assert control.acc == control.acc_before
    assert control.asr == control.asr_before
    assert control.der == 0.5
    assert control.knowledge == "nothing"


def test_what_a_defender_was_given_is_printed(grid):
    given = dict(zip(grid[0].frame.defense, grid[0].frame.knowledge, strict=False))
    assert given["fine_pruning"] == "40 clean"
    assert "40 clean + 20" in given["fire"]


def test_one_victim_feeds_every_defense(grid):
    assert grid[1].count("victims") == 2


def test_metrics_follow_from_stored_predictions_alone(grid):
    _, store = grid
    plan = make_plan(
        Request(**{**GRID, "defenses": "fine_pruning", "attacks": "badnets", "reference": 40, "suspects": 20}),
        Registry(),
        None,
    )
    [cell] = plan.cells
    again = measure(cell.victim.key, store, store.tensors("cells", cell.key, "predictions.safetensors"))
    record = store.record(cell.key)
    assert {name: again[name] for name in ("acc", "asr", "ra", "der")} == {
        name: getattr(record, name) for name in ("acc", "asr", "ra", "der")
    }


def test_a_second_run_computes_nothing_and_gives_the_same_table(grid, monkeypatch):
    def never(*args):
        raise AssertionError("computed again")

    monkeypatch.setattr(worker, "make", never)
    results, store = grid
    again = bench.run(**GRID, attacks="none,badnets", defenses="none,fine_pruning,fire", store=store.root)
    pd.testing.assert_frame_equal(again.frame, results.frame)


def test_a_cell_is_called_what_this_request_calls_it(grid, tmp_path, monkeypatch):
    request = {**GRID, "defenses": "none", "store": tmp_path / "store", "executor": "inline"}
    assert bench.run(**request, attacks="badnets[size=4]").frame.attack_label.tolist() == ["badnets[size=4]"]
    monkeypatch.setitem(PROFILES["quick"].parameters, "badnets", {"size": 4})
    assert bench.run(**request, attacks="badnets").frame.attack_label.tolist() == ["badnets"]
    assert Store(tmp_path / "store").count("victims") == 1


def test_two_runs_and_two_executors_agree_to_the_last_digit(grid, tmp_path):
    expected = grid[0].frame[NAMES + MEASURED]
    request = {**GRID, "attacks": "none,badnets", "defenses": "none,fine_pruning,fire"}
    inline = bench.run(**request, store=tmp_path / "inline", executor="inline").frame
    local = bench.run(**request, store=tmp_path / "local", executor="local", workers=2).frame
    pd.testing.assert_frame_equal(inline[NAMES + MEASURED], expected)
    pd.testing.assert_frame_equal(local[NAMES + MEASURED], expected)


@pytest.fixture(scope="module")
def broken(tmp_path_factory) -> tuple[bench.Results, Store]:
    """What a plugin can do wrong in one run of the local executor, beside defenses that work; see also test_faults."""
    folder = tmp_path_factory.mktemp("broken")
    file = folder / "trouble.py"
    file.write_text(PLUGINS)
    results = bench.run(
        **GRID,
        attacks="badnets,badattack",
        defenses="raises,notnumbers,declines,curious,none",
        plugin=[file],
        store=folder / "store",
        executor="local",
        workers=2,
    )
    return results, Store(folder / "store")


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
def test_a_failure_fails_only_its_own_cell(broken, defense, status, reason):
    row = broken[0].frame.query(f"attack == 'badnets' and defense == '{defense}'").iloc[0]
    assert row.status == status
    assert reason in row.reason if reason else row.reason is None or pd.isna(row.reason)
    assert not broken[0].ok


def test_a_traceback_is_kept(broken):
    row = broken[0].frame.query("attack == 'badnets' and defense == 'raises'").iloc[0]
    trace = (broken[1].folder("failures", row.key) / "traceback.txt").read_text()
    assert "in repair" in trace
    assert "is broken" in trace


def test_a_failed_victim_fails_its_cells_with_its_reason(broken):
    rows = broken[0].frame.query("attack == 'badattack' and defense == 'none'")
    assert rows.status.tolist() == ["failed"]
    assert "its victim could not be made: ValueError: badattack: trigger left [0, 1]" in rows.reason.iloc[0]


def test_a_defense_gets_what_it_declared_and_nothing_else(broken):
    row = broken[0].frame.query("attack == 'badnets' and defense == 'curious'").iloc[0]
    seen = json.loads(row.diagnostics)
    assert seen["known"] == [40, [20, 1, 8, 8], [20, 1, 8, 8]]
    assert seen["context"] == ["device", "diagnostics", "generator", "log", "progress"]
    assert row.knowledge == "40 clean + 20 pairs"
    assert not math.isnan(row.auroc)
    assert not math.isnan(row.tpr)


def test_reference_and_suspects_are_disjoint_and_never_from_the_test_set(broken):
    _, store = broken
    registry = Registry()
    request = Request(**{**GRID, "defenses": "fire", "attacks": "badnets", "reference": 40, "suspects": 20})
    [cell] = make_plan(request, registry, None).cells
    shop = Workshop(registry, store, None, torch.device("cpu"))
    stage = type(cell)(cell.victim, cell.defense, cell.reference, cell.suspects, pairs=True)
    known = knowledge(stage, LoadedVictim.read(cell.victim, shop))
    splits = shop.splits(cell.victim.dataset)
    clean = {image.numpy().tobytes() for image in known.clean.images}
    originals = {(image * 255).round().byte().numpy().tobytes() for image in known.originals}
    test = {image.numpy().tobytes() for image in splits.test.images}
    train = {image.numpy().tobytes() for image in splits.train.images}
    assert len(clean) == 40
    assert len(originals) == 20
    assert not clean & originals
    assert not (clean | originals) & test
    assert clean | originals <= train
    assert known.clean.labels.bincount(minlength=10).min() >= 3
    assert (known.suspects[:, :, -3:, -3:] == 1).all()  # badnets' patch
