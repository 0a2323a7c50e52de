"""Merging stores, removing what no record needs, and saying who works on what."""

import errno
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from bench.api import open_registry, plan_of
from bench.cell.measure import describe
from bench.cli.main import main
from bench.errors import Damaged, RequestError
from bench.records import Record
from bench.store import locks
from bench.store.merge import merge
from bench.store.store import SECTIONS, Store
from bench.store.waste import waste

SELECTED = {
    "datasets": "digits[train_size=200]",
    "models": "resnet18[width=4]",
    "attacks": "badnets,blend",
    "defenses": "none,clp",
    "seeds": "0",
    "reference": "40",
}
HOLDS = """
import sys
from filelock import FileLock
with FileLock(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture(scope="module")
def plan():
    """Four cells of two victims."""
    return plan_of(open_registry(), Path(), **{**SELECTED, "seeds": (0,)})


def put(store: Store, cell, status="done", value=0.0, acc=0.5) -> None:
    """A cell with invented results, or its failure."""
    record = Record(**describe(cell), status=status, acc=acc).model_dump_json()
    if status in ("failed", "timeout"):
        store.write("failures", cell.key, {"record.json": record, "traceback.txt": "…"})
    else:
        predictions = {"clean_logits": torch.full((2, 2), value)}
        store.write("cells", cell.key, {"record.json": record, "predictions.safetensors": predictions})


def train(store: Store, victim, value=0.0, seconds=1) -> None:
    model = {"weight": torch.full((2, 2), value)}
    store.write("victims", victim.key, {"model.safetensors": model, "stage.json": {"train_seconds": seconds}})


def spoil(store: Store, section: str, key: str, name: str) -> None:
    path = store.folder(section, key) / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)


def bench(capsys, *arguments) -> tuple[int, str, str]:
    """Exit status, and what the command prints."""
    with pytest.raises(SystemExit) as caught:
        main([str(part) for part in arguments])
    return caught.value.code, *capsys.readouterr()


@pytest.fixture
def pair(tmp_path) -> tuple[Store, Store]:
    return Store(tmp_path / "a"), Store(tmp_path / "b")


# --- merge ---------------------------------------------------------------------------------------------


def test_a_merge_brings_what_is_not_there_and_changes_nothing_of_the_other(pair, plan):
    a, b = pair
    first, _, third, fourth = plan.cells
    train(a, first.victim)
    put(a, first)
    train(b, third.victim)
    put(b, third)
    put(b, fourth, "failed")
    b.write("checkpoints", "abcd", {"state.pt": {"epochs": 1}})
    before = {path: path.read_bytes() for path in b.root.rglob("*") if path.is_file()}
    made = merge(a, b)
    assert made.copied == {"victims": 1, "cells": 1, "failures": 1, "checkpoints": 1}
    assert not made.conflicts + made.damaged
    assert {record.key for record in a.records()} == {first.key, third.key, fourth.key}
    for section in SECTIONS:
        for key in b.keys(section):
            assert a.contents(section, key) == b.contents(section, key)
    assert {path: path.read_bytes() for path in b.root.rglob("*") if path.is_file()} == before
    assert merge(a, b).copied == {}


def test_a_finished_cell_wins_over_a_failure_on_either_side(pair, plan):
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


def test_what_both_have_stays_and_different_results_are_named(pair, plan):
    a, b = pair
    same, other, *_ = plan.cells
    for store, value, acc in ((a, 1.0, 0.8), (b, 2.0, 0.9)):
        train(store, same.victim, seconds=acc)  # the same network, trained twice
        put(store, same, acc=acc)
        put(store, other, value=value, acc=acc)
    made = merge(a, b)
    assert made.copied == {}
    assert made.repeated == 2
    [line] = made.conflicts
    assert other.key in line
    assert f"{a.root}'s is kept" in line
    assert a.record(same.key).acc == a.record(other.key).acc == 0.8


def test_what_is_damaged_is_left_out_and_ones_own_is_repaired(pair, plan):
    a, b = pair
    first, second, third, _ = plan.cells
    for cell in (first, second):
        put(b, cell)
    put(a, third, acc=0.1)
    put(b, third, acc=0.7)
    spoil(b, "cells", first.key, "predictions.safetensors")
    spoil(a, "cells", third.key, "record.json")
    made = merge(a, b)
    assert not a.has("cells", first.key)
    assert a.contents("cells", second.key)
    assert a.record(third.key).acc == 0.7
    assert len(made.damaged) == 2
    assert any(f"{b.root}: cells/{first.key}: predictions.safetensors is not" in line for line in made.damaged)
    assert any(f"{a.root}: cells/{third.key}: record.json" in line for line in made.damaged)


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


# --- gc ------------------------------------------------------------------------------------------------


@pytest.fixture
def littered(tmp_path, plan) -> Store:
    """A store with one of everything that is needed, and one of everything that is not."""
    store = Store(tmp_path / "s")
    first, second, third, _ = plan.cells
    train(store, first.victim)
    train(store, third.victim)
    put(store, first)
    put(store, second, "failed")
    put(store, third, "not-applicable")
    put(store, first, "failed")  # as if the cell had been finished by another process since
    for key in (first.victim.key, "abcd"):
        store.write("checkpoints", key, {"state.pt": {"epochs": 1}})
    node = platform.node()
    for name in (f"{2**22 + 1}-x@{node}", f"{os.getpid()}-x@{node}", f"{2**22 + 1}-x@another-machine"):
        (store.root / "tmp" / name).mkdir()
        (store.root / "tmp" / name / "model.safetensors").write_bytes(b"x" * 1000)
    (store.root / "claims").mkdir()
    (store.root / "claims" / f"{first.key}.lock").touch()
    return store


def test_gc_removes_what_no_record_needs_and_nothing_else(littered, plan, capsys):
    first, second, third, _ = plan.cells
    status, out, _ = bench(capsys, "gc", "--store", littered.root, "--yes")
    assert status == 0
    for what in ("victims that no", "checkpoints of finished", "failures of finished", "drafts of", "claims of nobody"):
        assert f"1        0.0 MiB  {what}" in out
    assert littered.keys("victims") == [first.victim.key]
    assert littered.keys("cells") == sorted([first.key, third.key])
    assert littered.keys("failures") == [second.key]
    assert littered.keys("checkpoints") == ["abcd"]
    left = sorted(path.name.partition("-")[0] for path in (littered.root / "tmp").iterdir())
    assert left == sorted([str(os.getpid()), str(2**22 + 1)])
    assert not list((littered.root / "claims").iterdir())
    status, out, _ = bench(capsys, "gc", "--store", littered.root)
    assert (status, out) == (0, "nothing that no record needs\n")


@pytest.mark.parametrize(("answer", "removed"), [("y", True), ("", False), ("n", False)])
def test_gc_asks_first(littered, capsys, monkeypatch, answer, removed):
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", lambda prompt: answer)
    assert bench(capsys, "gc", "--store", littered.root)[0] == 0
    assert (littered.count("victims") == 1) == removed


def test_gc_removes_nothing_where_nobody_can_be_asked(littered, capsys, monkeypatch):
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


# --- who works on it -----------------------------------------------------------------------------------


@pytest.fixture
def hold():
    """Starts processes that each hold a claim until the test ends."""
    started = []

    def start(store: Store, key: str) -> subprocess.Popen:
        (store.root / "claims").mkdir(exist_ok=True)
        command = [sys.executable, "-c", HOLDS, str(store.root / "claims" / f"{key}.lock")]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        started.append(process)
        assert process.stdout.readline() == "held\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()


def test_a_claim_counts_while_its_process_lives(littered, plan, hold):
    process = hold(littered, "beef")
    assert locks.held(littered.root) == ["beef"]
    with pytest.raises(RequestError, match="1 stages are being computed there"):
        waste(littered, [])
    process.kill()
    process.wait()
    assert locks.held(littered.root) == []


def test_status_counts_all_states_of_a_plan(tmp_path, plan, hold, capsys):
    store = Store(tmp_path / "s")
    first, second, third, _ = plan.cells
    train(store, first.victim)
    put(store, first)
    put(store, second, "timeout")
    hold(store, third.key)
    options = [part for name, value in SELECTED.items() for part in (f"--{name}", value)]
    status, out, _ = bench(capsys, "status", "--store", store.root, *options)
    assert status == 0
    assert "cells     1 done, 1 running, 1 timeout, 1 waiting\n" in out
    assert f"running   {third.title}\n" in out
    assert "victims   1\n" in out
    study = tmp_path / "study.toml"
    study.write_text("".join(f'{name} = "{value}"\n' for name, value in SELECTED.items()) + f'store = "{store.root}"\n')
    assert bench(capsys, "status", study)[1] == out
    assert "1 done" in bench(capsys, "plan", study)[1]
    out = bench(capsys, "status", "--store", store.root)[1]
    assert "cells     1 done, 1 timeout\n" in out
    assert f"running   {third.key[:12]}\n" in out
    spoil(store, "cells", first.key, "record.json")
    status, out, _ = bench(capsys, "status", "--store", store.root, *options)
    assert status == 0
    assert "1 damaged, 1 running, 1 timeout, 1 waiting" in out
    assert f"damaged   cells/{first.key}: record.json is not what was written" in out


def test_sizes_are_those_on_the_disk(littered, capsys):
    def counted(folder: Path) -> int:
        return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())

    sizes = littered.sizes()
    assert {section: sizes[section] for section in SECTIONS} == {
        section: counted(littered.root / section) for section in SECTIONS
    }
    assert sizes["tmp"] == 3000
    assert sum(sizes.values()) == counted(littered.root)
    (littered.root / "tmp" / "big").write_bytes(b"x" * 3 * 2**20)
    assert "on disk   3.0 MiB: victims 0.0, cells 0.0" in bench(capsys, "status", "--store", littered.root)[1]


def test_plan_report_and_show_say_what_is_damaged(tmp_path, plan, capsys):
    store = Store(tmp_path / "s")
    first, second, *_ = plan.cells
    put(store, first)
    put(store, second)
    spoil(store, "cells", first.key, "record.json")
    options = [part for name, value in SELECTED.items() for part in (f"--{name}", value)]
    assert "1 done" in bench(capsys, "plan", "--store", store.root, *options)[1]
    status, out, err = bench(capsys, "show", first.key[:10], "--store", store.root)
    assert (status, out, err.count("\n")) == (1, "", 1)
    assert "damaged: cells/" in err
    status, _, err = bench(capsys, "report", "--store", store.root, "--out", tmp_path / "r")
    assert status == 0
    assert f"left out, damaged: cells/{first.key}" in err
