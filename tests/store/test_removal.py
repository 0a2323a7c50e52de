"""``bench rm`` takes cells and victims out of a store, by key and by selection, and nothing that is computed now."""

import sys
from dataclasses import replace

import pytest
from stores import ABCD, bench, put, show, spoil, train

from bench.store import locks
from bench.store.store import Store


@pytest.fixture
def filled(tmp_path, plan) -> Store:
    """Two victims, each with a cell of none and of clp, one of which failed; and what a benign network answered."""
    store = Store(tmp_path / "s")
    for cell in plan.cells:
        if not store.has("victims", cell.victim.key):
            train(store, cell.victim)
        put(store, cell)
    first, *_, last = plan.cells
    store.forget("cells", last.key)
    put(store, last, "failed")
    show(store, first.victim.key, last.victim.key)
    store.write("checkpoints", last.victim.key, {"state.pt": {"epochs": 1}})
    return store


def held_by(store: Store) -> dict[str, list[str]]:
    return {section: store.keys(section) for section in ("victims", "cells", "failures", "natural", "checkpoints")}


def rm(capsys, store: Store, *arguments: str) -> tuple[int, str, str]:
    return bench(capsys, "rm", "--store", store.root, "--yes", *arguments)


def test_a_selection_of_defenses_removes_cells_and_keeps_their_victims(filled, plan, capsys):
    before = held_by(filled)
    gone = {cell.key for cell in plan.cells if cell.defense.name == "clp"}
    status, out, _ = rm(capsys, filled, "--defenses", "clp")
    assert status == 0
    assert "2 cells, 0.0 MiB" in out
    assert held_by(filled) == before | {
        "cells": sorted(set(before["cells"]) - gone),
        "failures": sorted(set(before["failures"]) - gone),
    }


@pytest.mark.parametrize("attack", ["badnets", "blend"])
def test_a_selection_of_an_attack_removes_its_victims_with_all_that_was_made_of_them(filled, plan, capsys, attack):
    kept = [cell for cell in plan.cells if cell.victim.attack.name != attack]
    finished = set(filled.keys("cells"))
    status, out, _ = rm(capsys, filled, "--attacks", attack)
    assert status == 0
    assert "1 victim, 2 cells" in out
    assert filled.keys("victims") == [kept[0].victim.key]
    assert filled.keys("cells") == sorted({cell.key for cell in kept} & finished)
    assert filled.keys("natural") == []
    assert len(filled.keys("checkpoints")) == (attack == "badnets")


def test_a_key_or_its_beginning_means_a_cell_or_a_victim(filled, plan, capsys):
    cell, *_ = plan.cells
    assert rm(capsys, filled, cell.key[:10])[0] == 0
    assert not filled.has("cells", cell.key)
    assert filled.has("victims", cell.victim.key)
    assert rm(capsys, filled, cell.victim.key)[0] == 0
    assert filled.keys("victims") == [key for key in {one.victim.key for one in plan.cells} if key != cell.victim.key]


def test_a_damaged_cell_can_be_removed_by_its_key(filled, plan, capsys):
    cell, *_ = plan.cells
    spoil(filled, "cells", cell.key, "record.json")
    status, out, err = rm(capsys, filled, cell.key[:8])
    assert (status, filled.has("cells", cell.key)) == (0, False)
    assert "damaged" in out
    assert cell.key in err


@pytest.mark.parametrize("place", [0, 1])
def test_what_is_being_computed_stays_with_its_victim_and_is_said(filled, plan, hold, capsys, place):
    cell = plan.cells[place]
    process = hold(filled, cell.key)
    status, _, err = rm(capsys, filled, "--attacks", cell.victim.attack.name)
    assert status == 1
    assert filled.has("cells", cell.key)
    assert filled.has("victims", cell.victim.key)
    assert err.count("left: ") == 2
    assert len([one for one in plan.cells[:2] if filled.has("cells", one.key)]) == 1
    process.kill()
    process.wait()
    assert rm(capsys, filled, "--attacks", cell.victim.attack.name)[0] == 0
    assert not filled.has("victims", cell.victim.key)


def test_a_victim_stays_while_something_new_is_computed_that_may_need_it(filled, plan, hold, capsys):
    hold(filled, ABCD)
    status, _, err = rm(capsys, filled, "--attacks", "badnets")
    assert (status, filled.count("victims")) == (1, 2)
    assert "1 stages are being computed that may need it" in err
    assert rm(capsys, filled, "--defenses", "clp")[0] == 0  # cells are not needed by others


def test_a_victim_that_is_being_trained_stays(filled, plan, hold, capsys):
    victim = plan.cells[0].victim
    hold(filled, victim.key)
    status, _, err = rm(capsys, filled, victim.key)
    assert (status, filled.has("victims", victim.key)) == (1, True)
    assert "computes it" in err


@pytest.mark.parametrize("stops_at", range(6))
def test_however_it_is_stopped_a_cell_that_is_left_has_its_victim(filled, plan, capsys, monkeypatch, stops_at):
    forget, calls = Store.forget, []

    def stopping(store, section, key):
        if len(calls) == stops_at:
            raise KeyboardInterrupt
        calls.append(key)
        forget(store, section, key)

    monkeypatch.setattr(Store, "forget", stopping)
    rm(capsys, filled, "--attacks", "badnets")
    monkeypatch.undo()
    for record in filled.records():
        assert filled.has("victims", record.victim_key)
    assert not locks.held(filled.root)


def test_a_victim_stays_if_a_cell_was_made_of_it_since_it_was_listed(filled, plan, capsys, monkeypatch):
    cell = plan.cells[0]

    def answer(prompt):
        put(filled, replace(cell, reference=3))
        return "y"

    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", answer)
    status, _, err = bench(capsys, "rm", "--store", filled.root, cell.victim.key)
    assert (status, filled.has("victims", cell.victim.key)) == (1, True)
    assert "1 of its cells stay" in err


@pytest.mark.parametrize(("answer", "removed"), [("y", True), ("", False), ("n", False), (EOFError, False)])
def test_it_asks_first(filled, capsys, monkeypatch, answer, removed):
    def asked(prompt):
        if answer is EOFError:
            raise EOFError
        return answer

    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", asked)
    assert bench(capsys, "rm", "--store", filled.root, "--attacks", "badnets")[0] == 0
    assert (filled.count("victims") == 1) == removed


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--attacks", "badnets"], "not a terminal: pass --yes"),
        (["--yes"], "rm: expected the keys of cells or victims, or a selection"),
        (["--yes", "--attacks", "bad"], "--attacks bad: no record; there are badnets, blend"),
        (["--yes", "xyz0"], "rm xyz0: expected the beginning of a key, 4 or more hexadecimal digits"),
        (["--yes", "00000000"], "expected the beginning of one key of a cell or victim; 0 begin so"),
        (["--yes", "gone.toml"], "study gone.toml: cannot be read"),
    ],
)
def test_what_cannot_be_removed_is_one_line_and_nothing_goes(filled, capsys, monkeypatch, arguments, expected):
    monkeypatch.setattr(sys.stdin, "isatty", lambda: False, raising=False)
    before = sorted(filled.root.rglob("*"))
    status, _, err = bench(capsys, "rm", "--store", filled.root, *arguments)
    assert (status, err.count("\n")) == (2, 1)
    assert expected in err
    assert sorted(filled.root.rglob("*")) == before


def test_a_study_names_what_is_to_go(filled, plan, capsys, tmp_path):
    (tmp_path / "study.toml").write_text("attacks = 'blend'\ndefenses = 'none'\nworkers = 2\n")
    cells = set(filled.keys("cells"))
    assert rm(capsys, filled, tmp_path / "study.toml")[0] == 0
    [gone] = cells - set(filled.keys("cells"))
    assert gone in {cell.key for cell in plan.cells if cell.victim.attack.name == "blend"}
    assert filled.count("victims") == 2
