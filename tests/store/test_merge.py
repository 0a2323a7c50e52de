"""Merging one store into another."""

import errno
import os

import pytest
from stores import ABCD, bench, put, show, spoil, train

from bench.store.merge import merge
from bench.store.store import SECTIONS, Store


@pytest.fixture
def pair(tmp_path) -> tuple[Store, Store]:
    return Store(tmp_path / "a"), Store(tmp_path / "b")


def test_a_merge_copies_what_is_missing_and_leaves_the_other_store_as_it_is(pair, plan):
    a, b = pair
    first, _, third, fourth = plan.cells
    train(a, first.victim)
    put(a, first)
    train(b, third.victim)
    put(b, third)
    put(b, fourth, "failed")
    show(b, third.victim.key, first.victim.key)
    b.write("checkpoints", ABCD, {"state.pt": {"epochs": 1}})
    before = {path: path.read_bytes() for path in b.root.rglob("*") if path.is_file()}
    merged = merge(a, b)
    assert merged.copied == dict.fromkeys(SECTIONS, 1)
    assert not merged.conflicts + merged.damaged
    assert {record.key for record in a.records()} == {first.key, third.key, fourth.key}
    for section in SECTIONS:
        for key in b.keys(section):
            assert a.contents(section, key) == b.contents(section, key)
    assert {path: path.read_bytes() for path in b.root.rglob("*") if path.is_file()} == before
    assert merge(a, b).copied == {}


def test_a_finished_cell_supersedes_a_failure_on_either_side(pair, plan):
    a, b = pair
    first, second, *_ = plan.cells
    put(a, first, "failed")
    put(b, first)
    put(a, second)
    put(b, second, "timeout")
    a.write("checkpoints", first.victim.key, {"state.pt": {"epochs": 1}})
    train(b, first.victim)
    assert merge(a, b).copied == {"victims": 1, "cells": 1}
    assert [record.status for record in a.records()] == ["done", "done"]
    assert a.count("failures") == a.count("checkpoints") == 0


def test_what_both_have_stays_and_different_results_are_reported(pair, plan):
    a, b = pair
    same, other, *_ = plan.cells
    for store, value, acc in ((a, 1.0, 0.8), (b, 2.0, 0.9)):
        train(store, same.victim, seconds=acc)  # the same network, trained twice
        put(store, same, acc=acc)
        put(store, other, value=value, acc=acc)
    merged = merge(a, b)
    assert merged.copied == {}
    assert merged.repeated == 2
    [line] = merged.conflicts
    assert other.key in line
    assert f"{a.root}'s is kept" in line
    assert a.record(same.key).acc == a.record(other.key).acc == 0.8


def test_a_damaged_stage_is_left_out_and_ones_own_is_replaced(pair, plan):
    a, b = pair
    first, second, third, _ = plan.cells
    for cell in (first, second):
        put(b, cell)
    put(a, third, acc=0.1)
    put(b, third, acc=0.7)
    spoil(b, "cells", first.key, "predictions.safetensors")
    spoil(a, "cells", third.key, "record.json")
    merged = merge(a, b)
    assert not a.has("cells", first.key)
    assert a.contents("cells", second.key)
    assert a.record(third.key).acc == 0.7
    assert len(merged.damaged) == 2
    assert any(f"{b.root}: cells/{first.key}: predictions.safetensors is not" in line for line in merged.damaged)
    assert any(f"{a.root}: cells/{third.key}: record.json" in line for line in merged.damaged)


def test_merge_on_the_command_line(tmp_path, capsys, plan):
    b, c = Store(tmp_path / "b"), Store(tmp_path / "c")
    put(b, plan.cells[0])
    put(c, plan.cells[1])
    status, out, _ = bench(capsys, "merge", tmp_path / "a", b.root, c.root)
    assert status == 0
    assert out.count("copied 1 cells") == 2
    assert Store(tmp_path / "a", create=False).count("cells") == 2
    spoil(b, "cells", plan.cells[0].key, "record.json")
    status, out, _ = bench(capsys, "merge", tmp_path / "new", b.root)
    assert status == 1
    assert "damaged: " in out
    for wrong, reason in (([b.root], "one or more stores"), ([b.root, b.root], "another store"), ([b.root, "x"], "x")):
        status, _, err = bench(capsys, "merge", *wrong)
        assert (status, err.count("\n")) == (2, 1)
        assert reason in err


def test_a_merge_onto_a_full_disk_is_one_line_and_goes_on_later(pair, plan, capsys, monkeypatch):
    a, b = pair
    put(b, plan.cells[0])

    def full(handle):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        status, _, err = bench(capsys, "merge", a.root, b.root)
    assert (status, err.count("\n")) == (1, 1)
    assert f"No space left on device: '{a.folder('cells', plan.cells[0].key)}" in err
    assert a.count("cells") == 0
    assert not list((a.root / "tmp").iterdir())
    assert bench(capsys, "merge", a.root, b.root)[0] == 0
    assert a.contents("cells", plan.cells[0].key)
