"""What the scheduler does with every outcome, by an executor that only plays its part; claims; what is selected."""

import subprocess
import sys
import threading
from collections import defaultdict, deque
from pathlib import Path

import pandas as pd
import pytest
import tiny

import bench
from bench.cell import defend
from bench.cell.measure import describe
from bench.engine import scheduler
from bench.engine.display import Screen
from bench.engine.executor import Outcome
from bench.errors import Damaged, RequestError
from bench.plan.plan import Plan, Request, make_plan
from bench.plan.registry import Registry
from bench.plan.stages import VictimStage
from bench.records import Record
from bench.store import locks
from bench.store.store import Store


class Played:
    """An executor that ends its oldest stage with the next status of its script, and done where it has none."""

    def __init__(self, store: Store, devices: list[str], script: dict[str, list[str]] | None = None) -> None:
        self.store, self.devices, self.slots = store, devices, len(devices)
        self.script = defaultdict(deque, {name: deque(said) for name, said in (script or {}).items()})
        self.running: dict[int, object] = {}
        self.log: list[str] = []
        self.beside: dict[str, list[str]] = {}  # what else was running when a stage was started
        self.ended = lambda name: None

    def ready(self, slot):
        return True

    def start(self, slot, stage):
        name = short(stage)
        self.beside[name] = [short(other) for other in self.running.values()]
        self.running[slot] = stage
        self.log.append(name)

    def wait(self, seconds):
        slot, stage = next(iter(self.running.items()))
        del self.running[slot]
        name = short(stage)
        status, _, reason = (self.script[name].popleft() if self.script[name] else "done").partition(":")
        self.ended(name)
        if status == "done":
            section = "victims" if isinstance(stage, VictimStage) else "cells"
            files = {"stage.json": {}} if section == "victims" else {"record.json": finished(stage)}
            self.store.write(section, stage.key, files)
        damaged = ("victims", stage.victim.key) if status == "damaged" else None
        return [Outcome(slot, stage, status, 1.0, reason or None, damaged=damaged)]

    def share(self, slot):
        return 0.5

    def close(self): ...


class Told:
    """A listener that remembers."""

    def __init__(self):
        self.notes, self.ends, self.back = [], {}, []

    def note(self, line):
        self.notes.append(line)

    def known(self, records): ...
    def begin(self, stages, slots): ...
    def started(self, slot, stage): ...
    def tick(self, shares): ...

    def put_back(self, slot, stage):
        self.back.append(short(stage))

    def ended(self, outcome):
        assert isinstance(outcome.stage, VictimStage) or short(outcome.stage) not in self.ends
        self.ends[short(outcome.stage)] = outcome.status


def short(stage) -> str:
    return stage.attack.name if isinstance(stage, VictimStage) else f"{stage.victim.attack.name}/{stage.defense.name}"


def finished(cell) -> str:
    return Record(**describe(cell), status="done", defense_seconds=3, inference_seconds=1).model_dump_json()


@pytest.fixture(scope="module")
def plan() -> Plan:
    """Four cells on badnets and sig, and their victims."""
    request = Request("none,bnp", "badnets,sig", "resnet18[width=4]", "digits[train_size=200]", reference="20")
    return make_plan(request, Registry(), Path())


@pytest.fixture
def store(tmp_path) -> Store:
    return Store(tmp_path / "store")


def play(plan, store, script=None, devices=("cpu",), stopping=lambda: False, prepare=lambda executor: None):
    """Execute all that is outstanding: the executor, the listener and the failures that could not be kept."""
    executor, told = Played(store, list(devices), script), Told()
    prepare(executor)
    work, _ = scheduler.outstanding(plan, store, told.note)
    unsaved = scheduler.execute(work, executor, store, told, stopping)
    return executor, told, unsaved


def failure(plan, store, name) -> Record | None:
    return store.failure(next(cell.key for cell in plan.cells if short(cell) == name))


def test_a_slot_stays_with_its_victim(plan, store):
    executor, told, _ = play(plan, store)
    assert executor.log == ["badnets", "badnets/none", "badnets/bnp", "sig", "sig/none", "sig/bnp"]
    assert set(told.ends.values()) == {"done"}


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
    executor, told, _ = play(plan, store, script)
    assert executor.log.count("badnets/none") == 2
    assert told.ends["badnets/none"] == status
    assert list(told.ends.values()).count("done") == 5
    record = failure(plan, store, "badnets/none")
    assert (record.status, record.reason) == (status, reason)
    assert any("to be tried once more" in line for line in told.notes)


@pytest.mark.parametrize("first", ["died", "timeout", "memory"])
def test_the_second_try_may_succeed(plan, store, first):
    _, told, _ = play(plan, store, {"badnets": [first], "sig/none": [first]})
    assert list(told.ends.values()) == ["done"] * 6
    assert told.back == ["badnets", "sig/none"]


def test_what_a_plugin_raises_is_not_tried_again(plan, store):
    executor, told, _ = play(plan, store, {"badnets/none": ["failed:ValueError: wrong"]})
    assert executor.log.count("badnets/none") == 1
    assert told.ends["badnets/none"] == "failed"


def test_a_failed_victim_fails_its_cells(plan, store):
    executor, told, _ = play(plan, store, {"badnets": ["failed:ValueError: wrong"]})
    assert executor.log == ["badnets", "sig", "sig/none", "sig/bnp"]
    assert told.ends["badnets/none"] == told.ends["badnets/bnp"] == "failed"
    assert failure(plan, store, "badnets/none").reason == "its victim could not be made: ValueError: wrong"


def test_what_ran_out_of_memory_has_its_device_for_itself_at_the_end(plan, store):
    script = {"badnets/none": ["memory:out"]}
    executor, told, _ = play(plan, store, script, devices=["cuda:0", "cuda:0"])
    assert executor.log[-1] == "badnets/none"
    assert executor.beside["badnets/none"] == []
    assert set(told.ends.values()) == {"done"}


def test_other_devices_go_on_meanwhile(plan, store):
    script = {"badnets": ["memory:out"]}
    executor, told, _ = play(plan, store, script, devices=["cuda:0", "cuda:1"])
    assert executor.log.count("badnets") == 2
    assert set(told.ends.values()) == {"done"}


def test_what_another_process_has_in_work_is_looked_at_again(plan, store, monkeypatch):
    monkeypatch.setattr(scheduler, "POLL", 0.3)
    executor, told, _ = play(plan, store, {"badnets": ["busy", "busy"], "sig/none": ["busy"]})
    assert executor.log.count("badnets") == 3
    assert executor.log.count("sig/none") == 2
    assert executor.log.index("sig") < len(executor.log) - 1 - executor.log[::-1].index("badnets")
    assert list(told.ends.values()) == ["done"] * 6
    assert len([line for line in told.notes if "another run" in line]) == 1


def test_what_another_process_has_finished_is_not_computed(plan, store):
    sig = [cell for cell in plan.cells if cell.victim.attack.name == "sig"]

    def finish(name):
        for cell in sig:
            store.write("victims", cell.victim.key, {"stage.json": {}})
            store.write("cells", cell.key, {"record.json": finished(cell)})

    executor, told, _ = play(plan, store, prepare=lambda executor: setattr(executor, "ended", finish))
    assert executor.log == ["badnets", "badnets/none", "badnets/bnp"]
    assert list(told.ends.values()) == ["done"] * 6


def test_a_damaged_victim_is_made_again_before_the_cell_that_met_it(plan, store):
    executor, told, _ = play(plan, store, {"badnets/none": ["damaged:x"]})
    assert executor.log[:5] == ["badnets", "badnets/none", "badnets", "badnets/bnp", "badnets/none"]
    assert set(told.ends.values()) <= {"done"}
    assert any("damaged: x" in line for line in told.notes)


def test_two_slots_that_meet_the_same_damage_are_both_served(plan, store):
    for victim in plan.victims:
        store.write("victims", victim.key, {"stage.json": {}})
    script = {"badnets/none": ["damaged:x"], "badnets/bnp": ["damaged:x"], "sig/none": [], "sig/bnp": []}
    executor, told, _ = play(plan, store, script, devices=["cpu"] * 4)
    assert executor.log.count("badnets") == 1
    assert set(told.ends.values()) == {"done"}


def test_what_is_damaged_again_fails(plan, store):
    executor, told, _ = play(plan, store, {"badnets/none": ["damaged:x", "damaged:x"]})
    assert executor.log.count("badnets") == 2
    assert told.ends["badnets/none"] == "failed"
    assert failure(plan, store, "badnets/none").reason == "x, again after it was made anew"


def test_a_full_disk_does_not_end_the_run(plan, store, monkeypatch):
    def full(section, key, files, **options):
        if section == "failures":
            raise OSError(28, "No space left on device")
        return write(section, key, files, **options)

    write = store.write
    monkeypatch.setattr(store, "write", full)
    _, told, unsaved = play(plan, store, {"badnets/none": ["failed:ValueError: wrong"]})
    assert [record.reason for record in unsaved.values()] == ["ValueError: wrong"]
    assert list(told.ends.values()).count("done") == 5
    assert any("could not be kept" in line for line in told.notes)


def test_stopping_lets_the_stages_in_flight_end(plan, store):
    asked = threading.Event()

    def ask(name):
        asked.set()

    executor = None
    with pytest.raises(KeyboardInterrupt):
        play(plan, store, None, ["cpu"] * 2, asked.is_set, lambda made: setattr(made, "ended", ask))
    assert store.count("victims") == 2
    assert store.count("cells") == 0
    executor, _, _ = play(plan, store)
    assert "badnets" not in executor.log


def test_a_damaged_record_is_dropped_and_to_be_done(plan, store, monkeypatch):
    play(plan, store)
    bad, notes = plan.cells[0].key, []
    read = store.record

    def record(key):
        if key == bad and store.has("cells", key):
            raise Damaged("cells", key, "record.json")
        return read(key)

    monkeypatch.setattr(store, "record", record)
    work, found = scheduler.outstanding(plan, store, notes.append)
    assert [stage.key for stage in work.stages] == [bad]
    assert len(found) == 3
    assert "record.json" in notes[0]


def test_only_what_is_asked_for_is_outstanding(plan, store):
    play(plan, store, {"badnets/none": ["failed"], "sig": ["failed"]})
    store.forget("failures", next(cell.key for cell in plan.cells if short(cell) == "sig/none"))

    def wanted(**choice):
        work, _ = scheduler.outstanding(plan, store, print, **choice)
        return [short(stage) for stage in work.stages]

    assert wanted() == ["sig", "badnets/none", "sig/none", "sig/bnp"]
    assert wanted(retry="failed") == ["sig", "badnets/none", "sig/bnp"]
    assert wanted(only="missing") == ["sig", "sig/none"]
    fresh = {cell.key for cell in plan.cells}
    assert wanted(only="missing", fresh=fresh) == wanted()


def test_the_time_left_follows_from_what_the_store_knows(plan):
    from rich.console import Console

    screen = Screen(Console(file=sys.stderr))
    screen.begin([plan.cells[0]], 2)
    assert screen.left() is None
    screen.known([Record.model_validate_json(finished(cell)) for cell in plan.cells])
    assert screen.left() == 2.0  # three seconds of defense and one of inference, on two slots


# --- claims ------------------------------------------------------------------------------------------

HOLDER = """
import sys, time
from pathlib import Path
from bench.store import locks
with locks.lock(Path(sys.argv[1]), "abcd") as mine:
    print(mine, flush=True)
    time.sleep(600)
"""


def holder(root: Path) -> subprocess.Popen[str]:
    """Another process that has claimed abcd."""
    process = subprocess.Popen([sys.executable, "-c", HOLDER, str(root)], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "True\n"
    return process


def test_a_claim_is_exclusive_while_its_process_lives(tmp_path):
    other = holder(tmp_path)
    try:
        with locks.lock(tmp_path, "abcd") as mine:
            assert not mine
        with locks.lock(tmp_path, "ef01") as mine:
            assert mine
            assert locks.held(tmp_path) == ["abcd", "ef01"]
        locks.sweep(tmp_path)
        assert locks.held(tmp_path) == ["abcd"]
    finally:
        other.kill()
        other.wait()
    assert locks.held(tmp_path) == []
    assert [path.name for path in (tmp_path / "claims").iterdir()] == ["abcd.lock"]
    with locks.lock(tmp_path, "abcd") as mine:
        assert mine
    assert not any((tmp_path / "claims").iterdir())


def test_what_the_dead_leave_is_swept(tmp_path):
    other = holder(tmp_path)
    other.kill()
    other.wait()
    locks.sweep(tmp_path)
    assert not any((tmp_path / "claims").iterdir())


def test_a_file_that_its_owner_removes_meanwhile_claims_nothing(tmp_path, monkeypatch):
    """Between the opening and the locking: whoever comes next makes, and locks, a new file of that name."""
    lock = locks.fcntl.flock

    def flock(descriptor, how):
        (tmp_path / "claims" / "abcd.lock").unlink()
        lock(descriptor, how)

    monkeypatch.setattr(locks.fcntl, "flock", flock)
    with locks.lock(tmp_path, "abcd") as mine:
        assert not mine


def test_two_never_hold_one_name_while_files_come_and_go(tmp_path):
    """Threads suffice: every claim opens the file anew, and flock sets open files apart, not processes."""
    inside, most, granted = [], [], []

    def contend():
        for _ in range(1500):
            with locks.lock(tmp_path, "abcd") as mine:
                if mine:
                    inside.append(1)
                    most.append(len(inside))
                    inside.pop()
                    granted.append(1)

    threads = [threading.Thread(target=contend) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(granted) > 100
    assert max(most) == 1


# --- what is selected --------------------------------------------------------------------------------


def test_a_gpu_out_of_memory_is_tried_once_more(tmp_path):
    """The error of a GPU, raised here without one: the second try fails or succeeds."""
    request = {**tiny.GRID, "attacks": "corner", "defenses": "bad[how=starve|starve-once],halve"}
    results = bench.run(**request, plugin=[tiny.plugins(tmp_path)], store=tmp_path / "store", executor="inline")
    found = {record.defense_label: (record.status, record.reason) for record in results.records}
    assert found["bad[how=starve]"] == ("failed", "OutOfMemoryError: CUDA out of memory, both times")
    assert found["bad[how=starve-once]"] == found["halve"] == ("done", None)
    assert tiny.log(tmp_path) == {"corner[n=0]": 1, "starve": 2, "starve-once": 2, "halve[n=1]": 1}


def test_a_cell_whose_victim_has_gone_makes_it_again(tmp_path, monkeypatch):
    """As after a damage, or somebody's clearing up, in the middle of a run."""
    request = {**tiny.GRID, "attacks": "corner", "defenses": "none,halve", "plugin": [tiny.plugins(tmp_path)]}
    expected = bench.run(**request, store=tmp_path / "whole", executor="inline")
    made, load = [], defend.make_cell

    def make_cell(stage, shop):
        if not made:
            shop.store.forget("victims", stage.victim.key)
        made.append(stage)
        load(stage, shop)

    monkeypatch.setattr("bench.engine.worker.make_cell", make_cell)
    (tmp_path / "log").unlink()
    found = bench.run(**request, store=tmp_path / "store", executor="inline")
    pd.testing.assert_frame_equal(tiny.table(found.frame), tiny.table(expected.frame))
    assert tiny.log(tmp_path)["corner[n=0]"] == 2


@pytest.fixture(scope="module")
def twice(tmp_path_factory):
    """A grid with failures, done inline: a way to ask for it again, and what the plugins wrote down since."""
    folder = tmp_path_factory.mktemp("twice")
    file = tiny.plugins(folder)

    def ask(**choice):
        (folder / "log").unlink(missing_ok=True)
        request = {**tiny.GRID, "attacks": "corner[n=0|1]", "defenses": "halve[n=1|2],bad"}
        results = bench.run(**request, plugin=[file], store=folder / "store", executor="inline", **choice)
        assert len(results.records) == 6
        return dict(tiny.log(folder))

    ask()
    return ask


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ({}, {"raise": 2}),
        ({"retry": "failed"}, {"raise": 2}),
        ({"only": "missing"}, {}),
        ({"refresh": "halve", "only": "missing"}, {"halve[n=1]": 2, "halve[n=2]": 2}),
        ({"refresh": "halve", "retry": "failed"}, {"halve[n=1]": 2, "halve[n=2]": 2, "raise": 2}),
        (
            {"refresh": "corner"},
            {"corner[n=0]": 1, "corner[n=1]": 1, "halve[n=1]": 2, "halve[n=2]": 2, "raise": 2},
        ),
    ],
)
def test_what_is_computed_again(twice, choice, expected):
    assert twice(**choice) == expected


@pytest.mark.parametrize(
    ("choice", "complaint"),
    [
        ({"retry": "all"}, "--retry all: expected failed"),
        ({"only": "done"}, "--only done: expected missing"),
        ({"retry": "failed", "only": "missing"}, "expected one of them"),
        ({"refresh": "halv"}, "--refresh halv: expected a plugin of this request: bad, corner, dots, halve, linear"),
    ],
)
def test_a_wrong_choice_is_refused(twice, choice, complaint):
    with pytest.raises(RequestError, match=complaint):
        twice(**choice)


def test_a_name_of_two_kinds_has_to_say_which(tmp_path):
    request = {**tiny.GRID, "attacks": "none", "defenses": "none", "plugin": [tiny.plugins(tmp_path)]}
    with pytest.raises(RequestError, match="--refresh none: expected attack:none or defense:none"):
        bench.run(**request, store=tmp_path / "store", executor="inline", refresh="none")
    assert not (tmp_path / "store").exists()
