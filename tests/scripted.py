"""For tests of the scheduler: an executor that plays a script, a listener that remembers, and a small plan for both."""

from collections import defaultdict, deque
from pathlib import Path

from bench.engine import outstanding, scheduler
from bench.engine.executor import Outcome
from bench.plan.plan import Plan, Request, make_plan
from bench.plan.registry import Registry
from bench.plan.stages import NaturalStage, VictimStage
from bench.records import Record
from bench.store.store import Store


class ScriptedExecutor:
    """Ends its oldest stage with the next status of its script, and done where the script has none.

    ``script``: by the short name of a stage, statuses such as "damaged" or "died:the reason".
    """

    def __init__(self, store: Store, devices: list[str], script: dict[str, list[str]] | None = None) -> None:
        self.store, self.devices, self.slots = store, devices, len(devices)
        self.script = defaultdict(deque, {name: deque(statuses) for name, statuses in (script or {}).items()})
        self.running: dict[int, object] = {}
        self.log: list[str] = []
        self.beside: dict[str, list[str]] = {}  # what else was running when a stage was started
        self.before_end = lambda name: None

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
        self.before_end(name)
        if status == "done":
            self.store.write(stage.section, stage.key, content(stage))
        damaged = ("victims", stage.victim.key) if status == "damaged" else None
        return [Outcome(slot, stage, status, 1.0, reason or None, damaged=damaged)]

    def progress(self, slot):
        return 0.5

    def printed(self, slot):
        return ()

    def close(self): ...


class RecordingListener:
    """Remembers the notes, the status of every stage that ended, and the stages that were put back."""

    def __init__(self):
        self.notes, self.ends, self.back = [], {}, []

    def note(self, line):
        self.notes.append(line)

    def known(self, records): ...
    def begin(self, stages, slots): ...
    def started(self, slot, stage): ...
    def tick(self, progress): ...

    def put_back(self, slot, stage):
        self.back.append(short(stage))

    def ended(self, outcome):
        assert isinstance(outcome.stage, VictimStage) or short(outcome.stage) not in self.ends
        self.ends[short(outcome.stage)] = outcome.status


def four_cells(attacks: str = "badnets,sig") -> Plan:
    """Four cells on the victims of two attacks."""
    request = Request(
        defenses="none,bnp",
        attacks=attacks,
        models="resnet18[width=4]",
        datasets="digits[train_size=200]",
        reference=20,
    )
    return make_plan(request, Registry(), Path())


def short(stage) -> str:
    """The name of a stage: that of its attack, attack/defense, or attack/benign."""
    if isinstance(stage, NaturalStage):
        return f"{stage.victim.attack.name}/benign"
    return stage.attack.name if isinstance(stage, VictimStage) else f"{stage.victim.attack.name}/{stage.defense.name}"


def content(stage) -> dict[str, object]:
    """The files of a finished stage."""
    if isinstance(stage, NaturalStage):
        facts = {"victim": stage.victim.key, "benign": stage.benign.key, "asr": 0.1, "n_test": 2}
        return {"natural.json": facts}
    return {"stage.json": {}} if isinstance(stage, VictimStage) else {"record.json": finished(stage)}


def finished(cell) -> str:
    """The record of a finished cell, of three seconds of defense and one of inference."""
    return Record(**cell.columns, status="done", defense_seconds=3, inference_seconds=1).model_dump_json()


def play(plan, store, script=None, devices=("cpu",), stopping=lambda: False, prepare=lambda executor: None):
    """Execute all that is outstanding: the executor, the listener and the failures that could not be stored."""
    executor, listener = ScriptedExecutor(store, list(devices), script), RecordingListener()
    prepare(executor)
    work, _ = outstanding.outstanding(plan, store, listener.note)
    unsaved = scheduler.execute(work, executor, store, listener, stopping)
    return executor, listener, unsaved


def failure(plan, store, name) -> Record | None:
    """The stored failure of the cell with this short name."""
    return store.failure(next(cell.key for cell in plan.cells if short(cell) == name))
