"""What the scheduler does with every outcome, by an executor that plays a script."""

import threading

import pytest
from scripted import failure, finished, play, short

from bench.engine import scheduler


def test_a_slot_stays_with_its_victim(plan, store):
    executor, listener, _ = play(plan, store)
    assert executor.log == ["badnets", "badnets/none", "badnets/bnp", "sig", "sig/none", "sig/bnp"]
    assert set(listener.ends.values()) == {"done"}


def test_victims_with_the_most_waiting_defenses_come_first(plan, store):
    done = next(cell for cell in plan.cells if short(cell) == "badnets/none")
    store.write("cells", done.key, {"record.json": finished(done)})
    assert play(plan, store)[0].log == ["sig", "sig/none", "sig/bnp", "badnets", "badnets/bnp"]


@pytest.mark.parametrize(
    ("second", "status", "reason"),
    [
        ("died:the worker died (exit code 7)", "failed", "the worker died (exit code 7), both times"),
        ("timeout:too slow", "timeout", "too slow; the first time: the worker died (exit code 7)"),
        ("failed:ValueError: wrong", "failed", "ValueError: wrong"),
    ],
)
def test_a_stage_whose_worker_died_is_tried_once_more(plan, store, second, status, reason):
    script = {"badnets/none": ["died:the worker died (exit code 7)", second]}
    executor, listener, _ = play(plan, store, script)
    assert executor.log.count("badnets/none") == 2
    assert listener.ends["badnets/none"] == status
    assert list(listener.ends.values()).count("done") == 5
    record = failure(plan, store, "badnets/none")
    assert (record.status, record.reason) == (status, reason)
    assert any("to be tried once more" in line for line in listener.notes)


@pytest.mark.parametrize("first", ["died", "timeout", "memory"])
def test_a_second_try_may_succeed(plan, store, first):
    _, listener, _ = play(plan, store, {"badnets": [first], "sig/none": [first]})
    assert list(listener.ends.values()) == ["done"] * 6
    assert listener.back == ["badnets", "sig/none"]


def test_a_stage_that_raises_is_not_tried_again(plan, store):
    executor, listener, _ = play(plan, store, {"badnets/none": ["failed:ValueError: wrong"]})
    assert executor.log.count("badnets/none") == 1
    assert listener.ends["badnets/none"] == "failed"


def test_a_failed_victim_fails_its_cells(plan, store):
    executor, listener, _ = play(plan, store, {"badnets": ["failed:ValueError: wrong"]})
    assert executor.log == ["badnets", "sig", "sig/none", "sig/bnp"]
    assert listener.ends["badnets/none"] == listener.ends["badnets/bnp"] == "failed"
    assert failure(plan, store, "badnets/none").reason == "its victim could not be made: ValueError: wrong"


def test_a_stage_that_ran_out_of_memory_is_retried_alone_on_its_device_at_the_end(plan, store):
    script = {"badnets/none": ["memory:out"]}
    executor, listener, _ = play(plan, store, script, devices=["cuda:0", "cuda:0"])
    assert executor.log[-1] == "badnets/none"
    assert executor.beside["badnets/none"] == []
    assert set(listener.ends.values()) == {"done"}


def test_other_devices_go_on_while_a_stage_is_retried_alone(plan, store):
    script = {"badnets": ["memory:out"]}
    executor, listener, _ = play(plan, store, script, devices=["cuda:0", "cuda:1"])
    assert executor.log.count("badnets") == 2
    assert set(listener.ends.values()) == {"done"}


def test_a_stage_that_another_process_is_computing_is_looked_at_again(plan, store, monkeypatch):
    monkeypatch.setattr(scheduler, "POLL", 0.3)
    executor, listener, _ = play(plan, store, {"badnets": ["busy", "busy"], "sig/none": ["busy"]})
    assert executor.log.count("badnets") == 3
    assert executor.log.count("sig/none") == 2
    assert executor.log.index("sig") < len(executor.log) - 1 - executor.log[::-1].index("badnets")
    assert list(listener.ends.values()) == ["done"] * 6
    assert len([line for line in listener.notes if "another run" in line]) == 1


def test_a_stage_that_another_process_has_finished_is_not_computed(plan, store):
    sig = [cell for cell in plan.cells if cell.victim.attack.name == "sig"]

    def finish(name):
        for cell in sig:
            store.write("victims", cell.victim.key, {"stage.json": {}})
            store.write("cells", cell.key, {"record.json": finished(cell)})

    executor, listener, _ = play(plan, store, prepare=lambda executor: setattr(executor, "before_end", finish))
    assert executor.log == ["badnets", "badnets/none", "badnets/bnp"]
    assert list(listener.ends.values()) == ["done"] * 6


def test_a_damaged_victim_is_made_again_before_the_cell_that_met_it(plan, store):
    executor, listener, _ = play(plan, store, {"badnets/none": ["damaged:x"]})
    assert executor.log[:5] == ["badnets", "badnets/none", "badnets", "badnets/bnp", "badnets/none"]
    assert set(listener.ends.values()) <= {"done"}
    assert any("damaged: x" in line for line in listener.notes)


def test_two_slots_that_meet_the_same_damaged_victim_make_it_once(plan, store):
    for victim in plan.victims:
        store.write("victims", victim.key, {"stage.json": {}})
    script = {"badnets/none": ["damaged:x"], "badnets/bnp": ["damaged:x"], "sig/none": [], "sig/bnp": []}
    executor, listener, _ = play(plan, store, script, devices=["cpu"] * 4)
    assert executor.log.count("badnets") == 1
    assert set(listener.ends.values()) == {"done"}


def test_a_cell_whose_victim_is_damaged_twice_fails(plan, store):
    executor, listener, _ = play(plan, store, {"badnets/none": ["damaged:x", "damaged:x"]})
    assert executor.log.count("badnets") == 2
    assert listener.ends["badnets/none"] == "failed"
    assert failure(plan, store, "badnets/none").reason == "x, again after it was made anew"


def test_a_full_disk_does_not_end_the_run(plan, store, monkeypatch):
    def full(section, key, files, **options):
        if section == "failures":
            raise OSError(28, "No space left on device")
        return write(section, key, files, **options)

    write = store.write
    monkeypatch.setattr(store, "write", full)
    _, listener, unsaved = play(plan, store, {"badnets/none": ["failed:ValueError: wrong"]})
    assert [record.reason for record in unsaved.values()] == ["ValueError: wrong"]
    assert list(listener.ends.values()).count("done") == 5
    assert any("could not be kept" in line for line in listener.notes)


def test_stopping_lets_the_running_stages_end(plan, store):
    asked = threading.Event()

    def ask(name):
        asked.set()

    with pytest.raises(KeyboardInterrupt):
        play(plan, store, None, ["cpu"] * 2, asked.is_set, lambda made: setattr(made, "before_end", ask))
    assert store.count("victims") == 2
    assert store.count("cells") == 0
    executor, _, _ = play(plan, store)
    assert "badnets" not in executor.log
