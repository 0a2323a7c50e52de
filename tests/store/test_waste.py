"""Removing what no record needs."""

import os
import sys

import pytest
from stores import ABCD, BEEF, bench, put, show, spoil

from bench.errors import Damaged, RequestError
from bench.store import locks
from bench.store.waste import waste


def test_gc_removes_what_no_record_needs_and_nothing_else(littered, plan, capsys):
    first, second, third, _ = plan.cells
    status, out, _ = bench(capsys, "gc", "--store", littered.root, "--yes")
    assert status == 0
    for what in ("victims that no", "checkpoints of finished", "failures of finished", "drafts of", "stale lock files"):
        assert f"1        0.0 MiB  {what}" in out
    assert littered.keys("victims") == [first.victim.key]
    assert littered.keys("cells") == sorted([first.key, third.key])
    assert littered.keys("failures") == [second.key]
    assert littered.keys("checkpoints") == [ABCD]
    left = sorted(path.name.partition("-")[0] for path in (littered.root / "tmp").iterdir())
    assert left == sorted([str(os.getpid()), str(2**22 + 1)])
    assert not list((littered.root / "claims").iterdir())
    status, out, _ = bench(capsys, "gc", "--store", littered.root)
    assert (status, out) == (0, "nothing to remove\n")


def test_gc_removes_what_a_benign_network_answered_for_a_victim_that_no_record_needs(littered, plan):
    first, _, third, fourth = plan.cells
    kept = show(littered, first.victim.key, first.victim.key)
    assert show(littered, first.victim.key, third.victim.key) in {path.name for path in wasted(littered)}
    assert show(littered, ABCD, first.victim.key) in {path.name for path in wasted(littered)}
    assert kept not in {path.name for path in wasted(littered)}
    put(littered, fourth, "failed")  # of the victim that ``third``, which is not applicable, does not need
    assert len([path for path in wasted(littered) if path.parent.parent.name == "natural"]) == 1


def wasted(store):
    return [one.path for one in waste(store, [])]


@pytest.mark.parametrize(("answer", "removed"), [("y", True), ("", False), ("n", False)])
def test_gc_asks_first(littered, capsys, monkeypatch, answer, removed):
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", lambda prompt: answer)
    assert bench(capsys, "gc", "--store", littered.root)[0] == 0
    assert (littered.count("victims") == 1) == removed


def test_gc_removes_nothing_without_a_terminal_to_ask_on(littered, capsys, monkeypatch):
    monkeypatch.setattr(sys.stdin, "isatty", lambda: False, raising=False)
    before = sorted(littered.root.rglob("*"))
    status, _, err = bench(capsys, "gc", "--store", littered.root)
    assert (status, err.count("\n")) == (2, 1)
    assert "--yes" in err
    assert sorted(littered.root.rglob("*")) == before


def test_gc_keeps_every_victim_while_a_record_cannot_be_read(littered, plan):
    spoil(littered, "failures", plan.cells[1].key, "record.json")
    damaged: list[Damaged] = []
    assert not [one for one in waste(littered, damaged) if "victims that" in one.why]
    assert [error.key for error in damaged] == [plan.cells[1].key]


def test_gc_refuses_while_a_process_holds_a_lock(littered, plan, hold):
    process = hold(littered, BEEF)
    assert locks.held(littered.root) == [BEEF]
    with pytest.raises(RequestError, match="1 stages are being computed there"):
        waste(littered, [])
    process.kill()
    process.wait()
    assert locks.held(littered.root) == []
