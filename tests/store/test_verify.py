"""``bench verify`` reads everything, and ``bench status`` says when that was done last."""

import json
import os

import pytest
from stores import bench, put, spoil, train

from bench.store.store import Store


@pytest.fixture
def store(tmp_path, plan) -> Store:
    made = Store(tmp_path / "s")
    first, second, *_ = plan.cells
    train(made, first.victim)
    put(made, first)
    put(made, second, "failed")
    return made


def verified(capsys, store: Store) -> str:
    """What status says of the last verification."""
    lines = bench(capsys, "status", "--store", store.root)[1].splitlines()
    [line] = [line for line in lines if line.startswith("verified")]
    return line


def test_everything_is_read_and_status_says_when(store, capsys):
    assert verified(capsys, store) == "verified  never; bench verify reads everything"
    status, out, err = bench(capsys, "verify", "--store", store.root)
    assert (status, err) == (0, "")
    assert out == "read 3 stages, 9 files, 0.0 MiB; none damaged\n"
    assert verified(capsys, store).endswith(" UTC: 3 stages, 0.0 MiB, none damaged")


@pytest.mark.parametrize("name", ["predictions.safetensors", "record.json", "hashes.json"])
def test_a_flipped_bit_in_any_file_of_a_cell_is_seen(store, plan, capsys, name):
    spoil(store, "cells", plan.cells[0].key, name)
    status, out, _ = bench(capsys, "verify", "--store", store.root)
    assert status == 1
    assert f"damaged   cells/{plan.cells[0].key}: {name} is not what was written\n" in out
    assert verified(capsys, store).endswith("3 stages, 0.0 MiB, 1 damaged")


def test_predictions_of_other_images_than_those_of_the_victim_are_damage(store, plan, capsys):
    key = plan.cells[0].victim.key
    facts = json.loads(store.read("victims", key, "stage.json")) | {"n_test": 3}
    store.write("victims", key, {**store.contents("victims", key), "stage.json": facts}, replace=True)
    line = f"victims/{key}: predictions.safetensors is of 2 images"
    assert line in bench(capsys, "verify", "--store", store.root)[1]
    status, _, err = bench(capsys, "measure", "--store", store.root)
    assert (status, err.count("\n")) == (1, 1)
    assert f"cells/{plan.cells[0].key}: predictions.safetensors is of 2 images, its victim of 3" in err


def test_a_cell_without_its_victim_cannot_be_measured_and_is_named(store, plan, capsys):
    store.forget("victims", plan.cells[0].victim.key)
    status, _, err = bench(capsys, "measure", "--store", store.root)
    assert (status, err.count("\n")) == (1, 1)
    assert f"cells/{plan.cells[0].key}: record.json is of a victim that is not there" in err


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"at": "yesterday"}', "[" * 100_000])
def test_a_note_that_cannot_be_read_counts_as_none(store, capsys, content):
    (store.root / "verified.json").write_text(content)
    assert "never" in verified(capsys, store)


def test_a_note_from_elsewhere_says_so(store, capsys):
    bench(capsys, "verify", "--store", store.root)
    note = store.root / "verified.json"
    note.write_text(json.dumps(json.loads(note.read_text()) | {"host": "0" * 8}))
    assert " UTC on another machine: 3 stages" in verified(capsys, store)


def test_a_store_that_cannot_be_written_is_verified_all_the_same(store, capsys, monkeypatch):
    def refused(path, target):
        raise PermissionError(13, os.strerror(13), str(target))

    monkeypatch.setattr("pathlib.Path.replace", refused)
    status, out, err = bench(capsys, "verify", "--store", store.root)
    assert (status, err.count("\n")) == (0, 1)
    assert "none damaged" in out
    assert "could not be kept: [Errno 13]" in err
