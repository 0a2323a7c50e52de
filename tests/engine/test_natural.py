"""When a benign network is shown a victim's trigger, and what follows if it cannot be."""

import pytest
from scripted import four_cells, play, short
from stores import FACTS, show

from bench.engine.outstanding import Work, outstanding
from bench.plan.plan import Plan


@pytest.fixture(scope="module")
def controlled() -> Plan:
    """Four cells on the victims of badnets and of the control row."""
    return four_cells("badnets,none")


def test_it_is_planned_only_where_both_victims_are(plan, controlled):
    assert plan.natural == []
    [stage] = controlled.natural
    assert [victim.attack.name for victim in stage.parents] == ["badnets", "none"]


def test_it_waits_for_both_victims_and_comes_after_the_cells(controlled, store):
    executor, listener, _ = play(controlled, store)
    assert executor.log[-1] == "badnets/benign"
    assert set(listener.ends.values()) == {"done"}
    assert not outstanding(controlled, store, print)[0]


def test_it_waits_for_its_victims_in_other_slots_too(controlled, store):
    executor, listener, _ = play(controlled, store, devices=["cpu"] * 8)
    assert {"badnets", "none"}.isdisjoint(executor.beside["badnets/benign"])
    assert set(listener.ends.values()) == {"done"}


@pytest.mark.parametrize("name", ["badnets", "none"])
def test_a_victim_that_failed_fails_it_and_nothing_waits_for_ever(controlled, store, name):
    executor, listener, _ = play(controlled, store, {name: ["failed:x"]})
    assert "badnets/benign" not in executor.log
    assert listener.ends["badnets/benign"] == "failed"
    assert store.count("natural") == 0


def test_its_own_failure_fails_nothing_else_and_is_tried_again_by_the_next_run(controlled, store):
    _, listener, _ = play(controlled, store, {"badnets/benign": ["failed:x"]})
    assert [name for name, status in listener.ends.items() if status != "done"] == ["badnets/benign"]
    assert (store.count("failures"), store.count("cells")) == (0, 4)
    assert play(controlled, store)[0].log == ["badnets/benign"]


@pytest.mark.parametrize("status", ["died", "timeout", "memory", "busy", "damaged:x"])
def test_a_second_try_may_succeed(controlled, store, status):
    executor, listener, _ = play(controlled, store, {"badnets/benign": [status]})
    assert executor.log.count("badnets/benign") == 2
    assert executor.log.count("badnets") == 1 + status.startswith("damaged")
    assert set(listener.ends.values()) == {"done"}


def test_no_victim_is_made_for_it_alone(controlled, store):
    play(controlled, store, {"badnets/benign": ["failed:x"]})
    store.forget("victims", controlled.natural[0].benign.key)
    assert not outstanding(controlled, store, print)[0]


def test_what_is_damaged_is_made_again_and_what_other_code_has_made_too(controlled, store):
    play(controlled, store)
    [stage], notes = controlled.natural, []
    store.write("natural", stage.key, {"natural.json": {"asr": 2}}, replace=True)
    assert [short(one) for one in outstanding(controlled, store, notes.append)[0].stages] == ["badnets/benign"]
    assert "damaged: natural/" in notes[0]
    show(store, stage.victim.key, stage.benign.key, benign_fingerprints={"attack": "0" * 16})
    work, _ = outstanding(controlled, store, print)
    assert list(work.natural) == [stage]
    assert not outstanding(controlled, store, print, keep=True)[0]
    assert work.found(stage, store) is None
    assert not store.has("natural", stage.key)


@pytest.mark.parametrize("number", [0, 1])
def test_a_victim_of_other_code_takes_it_along_when_it_is_removed(controlled, store, number):
    [stage] = controlled.natural
    victim = stage.parents[number]
    key = show(store, stage.victim.key, stage.benign.key)
    store.write("victims", victim.key, {"stage.json": {**FACTS, "fingerprints": dict.fromkeys(victim.codes, "0" * 16)}})
    assert Work().found(victim, store) is None
    assert not store.has("victims", victim.key)
    assert not store.has("natural", key)
