"""``--keep-networks``: the repaired network of every cell is kept beside it; nothing else is changed by it.

``test_options.py`` has the defense in a process of its own.
"""

import json
import shutil

import pytest
import tiny
import torch

import bench
from bench.engine.display import Silent
from bench.store.merge import merge
from bench.store.store import Store
from bench.store.verify import verify
from bench.store.waste import waste

KEPT = "network.safetensors"


class Notes(Silent):
    def __init__(self):
        self.lines = []

    def note(self, line):
        self.lines.append(line)


def run(folder, store="store", **options):
    notes = Notes()
    asked = {**tiny.GRID, "attacks": "corner", "defenses": "none,halve", "plugin": [tiny.plugins(folder)], **options}
    results = bench.run(**asked, store=folder / store, listener=notes)
    assert results.ok, results.frame.reason.tolist()
    return {record.defense: record for record in results.records}, Store(folder / store), notes.lines


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """A run with kept networks: its folder, its records by defense, its store."""
    folder = tmp_path_factory.mktemp("kept")
    records, store, notes = run(folder, keep_networks=True, executor="inline")
    assert notes == []
    return folder, records, store


def test_the_network_that_a_repair_returned_is_kept_and_no_other(kept):
    _, records, store = kept
    victim = store.tensors("victims", records["halve"].victim_key, "model.safetensors")
    halved = store.tensors("cells", records["halve"].key, KEPT)
    expected = victim["1.weight"].clone()
    expected[:, ::2] *= 0.5
    assert set(halved) == set(victim)
    assert torch.equal(halved["1.weight"], expected)
    assert KEPT not in store.hashes("cells", records["none"].key)  # it is the victim's


def test_keys_and_results_are_those_of_a_run_without(kept):
    folder, records, store = kept
    plain, other, _ = run(folder, "plain", executor="inline")
    for name, record in plain.items():
        assert record.key == records[name].key
        ours, theirs = (one.hashes("cells", record.key)["predictions.safetensors"] for one in (store, other))
        assert ours == theirs


def test_a_cell_that_was_done_without_is_named_and_not_computed_again_unless_asked(tmp_path):
    records, store, _ = run(tmp_path, executor="inline")
    _, _, notes = run(tmp_path, executor="inline", keep_networks=True)
    [line] = notes
    assert line.startswith("halve: 1 cell was done without --keep-networks")
    assert line.endswith("--refresh halve computes again")
    assert tiny.log(tmp_path)["halve[n=1]"] == 1
    _, _, notes = run(tmp_path, executor="inline", keep_networks=True, refresh="halve")
    assert notes == []
    assert KEPT in store.hashes("cells", records["halve"].key)


def test_measuring_verifying_and_cleaning_leave_it_and_damage_to_it_is_seen(kept, tmp_path):
    from bench.cell.measure import measure_again

    _, records, original = kept
    store, key = Store(shutil.copytree(original.root, tmp_path / "s")), records["halve"].key
    hashes = store.hashes("cells", key)
    record = json.loads(store.read("cells", key, "record.json")) | {"acc": 0.123}
    store.write("cells", key, {**store.contents("cells", key), "record.json": record}, replace=True)
    assert len(list(measure_again(store, pytest.fail))) == 1
    assert store.hashes("cells", key)[KEPT] == hashes[KEPT]
    assert verify(store).damaged == []
    assert [one for one in waste(store, []) if one.stage and one.stage[0] == "cells"] == []
    store.write("cells", key, {**store.contents("cells", key), KEPT: {}}, replace=True)
    [line] = verify(store).damaged
    assert line == f"cells/{key}: {KEPT} holds no tensors"


def test_merging_takes_the_network_that_only_the_other_store_kept(kept, tmp_path):
    folder, records, store = kept
    key = records["halve"].key
    _, plain, _ = run(folder, "merged", executor="inline")
    without = Store(shutil.copytree(plain.root, tmp_path / "without"))
    merged = merge(store, without)
    assert (merged.copied, merged.conflicts) == ({}, [])
    assert KEPT in store.hashes("cells", key)
    merged = merge(plain, store)
    assert (merged.copied, merged.conflicts, merged.damaged) == ({"cells": 1}, [], [])
    assert plain.contents("cells", key) == store.contents("cells", key)
