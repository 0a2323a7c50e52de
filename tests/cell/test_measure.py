"""Metrics can be derived anew from stored predictions at any time."""

import json
import shutil
from pathlib import Path

import pytest

import bench
from bench.cell.measure import measure_again
from bench.cli.main import main
from bench.records import Record
from bench.store.store import Store


@pytest.fixture(scope="module")
def measured(tmp_path_factory) -> Path:
    """The folder of a store with two cells."""
    folder = tmp_path_factory.mktemp("measured") / "store"
    bench.run(
        datasets="digits[train_size=100]",
        models="resnet18[width=4]",
        attacks="badnets",
        defenses="none,fine_pruning",
        reference=20,
        store=folder,
        executor="inline",
    )
    return folder


@pytest.fixture
def store(measured, tmp_path) -> Store:
    """A copy of that store, which a test may change."""
    return Store(shutil.copytree(measured, tmp_path / "store"))


def test_a_metric_that_a_record_lacks_is_derived_without_a_new_run(store):
    key = store.keys("cells")[0]
    right = store.record(key)
    older = json.loads(store.read("cells", key, "record.json"))
    assert json.loads(older.pop("recipe_params"))["epochs"] > 0  # as in records made before the values were kept
    del older["acc_target"]  # as if the metric had been invented later
    older["asr"] = 0.123
    store.write("cells", key, {**store.contents("cells", key), "record.json": json.dumps(older)}, replace=True)
    assert store.record(key).asr == 0.123
    [(before, after)] = measure_again(store, pytest.fail)
    assert before.key == after.key == key
    assert store.record(key).to_json() == right.to_json()


def test_nothing_changes_where_nothing_is_new(store):
    before = {key: store.hashes("cells", key) for key in store.keys("cells")}
    assert list(measure_again(store, pytest.fail)) == []
    assert {key: store.hashes("cells", key) for key in store.keys("cells")} == before


def test_a_damaged_cell_is_named_and_the_others_are_measured(store):
    broken, whole = store.keys("cells")
    file = store.folder("cells", broken) / "predictions.safetensors"
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    older = json.loads(store.read("cells", whole, "record.json")) | {"acc": 0.5}
    store.write("cells", whole, {**store.contents("cells", whole), "record.json": json.dumps(older)}, replace=True)
    damaged: list[object] = []
    changed = list(measure_again(store, damaged.append))
    assert [after.key for _, after in changed] == [whole]
    assert [error.key for error in damaged] == [broken]


def test_a_verdict_is_not_stored(store):
    stored = [json.loads(store.read("cells", key, "record.json")) for key in store.keys("cells")]
    assert stored
    assert not any({"valid", "doubt", "acc_benign"} & record.keys() for record in stored)
    assert Record.model_validate(stored[0] | {"valid": True, "doubt": "an older version wrote it"}).valid


def test_the_command_prints_what_changed_and_the_second_time_that_nothing_did(store, capsys):
    key = store.keys("cells")[0]
    older = json.loads(store.read("cells", key, "record.json")) | {"acc": 0.5}
    store.write("cells", key, {**store.contents("cells", key), "record.json": json.dumps(older)}, replace=True)
    answers = []
    for _ in range(2):
        with pytest.raises(SystemExit) as end:
            main(["measure", "--store", str(store.root)])
        answers.append((end.value.code, capsys.readouterr().out))
    assert answers[0][0] == answers[1][0] == 0
    assert f"{key[:12]} badnets" in answers[0][1]
    assert f"acc 0.5 → {store.record(key).acc}" in answers[0][1]
    assert answers[1][1].strip() == "nothing differs"
