"""In which order stages run, and what becomes of their outcomes."""

import time
from collections import deque
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Literal, Protocol, cast

from bench import provenance
from bench.engine.executor import Executor, Outcome
from bench.errors import Damaged
from bench.plan.plan import Plan
from bench.plan.stages import CellStage, Stage, VictimStage
from bench.records import Record
from bench.store.store import Room, Store

TICK = 0.2  # seconds between two looks at the clock and the display
POLL = 1.0  # seconds until a stage that another process has in work is looked at again


class Listener(Protocol):
    """Is told what happens; see ``bench.display``."""

    def note(self, line: str) -> None: ...
    def known(self, records: Collection[Record]) -> None: ...
    def begin(self, stages: list[Stage], slots: int) -> None: ...
    def started(self, slot: int, stage: Stage) -> None: ...
    def put_back(self, slot: int, stage: Stage) -> None: ...
    def ended(self, outcome: Outcome) -> None: ...
    def tick(self, shares: list[float]) -> None: ...


@dataclass
class Work:
    """The stages of a plan that are still to be done: cells by the key of their victim, victims to be made first."""

    victims: deque[VictimStage] = field(default_factory=deque)
    cells: dict[str, deque[CellStage]] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.victims) or any(self.cells.values())

    @property
    def stages(self) -> list[Stage]:
        return [*self.victims, *(cell for cells in self.cells.values() for cell in cells)]

    def add(self, stage: Stage) -> None:
        if isinstance(stage, VictimStage):
            self.victims.append(stage)
        else:
            self.cells.setdefault(stage.victim.key, deque()).append(stage)


def outstanding(
    plan: Plan,
    store: Store,
    note: Callable[[str], None],
    *,
    retry: str | None = None,
    only: str | None = None,
    fresh: Collection[str] = (),
) -> tuple[Work, dict[str, Record]]:
    """What is to be done, and the records of what is not, by key. What is damaged is dropped, and to be done.

    A cell that is not applicable gets its record here. ``retry="failed"``: of the others only those that have failed;
    ``only="missing"``: only those that have not; in any case those whose keys are in ``fresh``. The victims with the
    most waiting defenses come first.
    """
    work, found = Work(), {}
    for cell in plan.cells:
        if (record := read_record(store, "cells", cell.key, note)) is not None:
            found[cell.key] = record
        elif (reason := plan.unsupported(cell)) is not None:
            found[cell.key] = Record(
                **cell.columns,
                **provenance.Maker(provenance.current_command()).columns(),
                status="not-applicable",
                reason=reason,
            )
            _put(store, "cells", found[cell.key], {}, note)
        elif not (retry or only) or cell.key in fresh or store.has("failures", cell.key) == (retry is not None):
            work.add(cell)
    missing = [victim for victim in plan.victims if victim.key in work.cells and not store.has("victims", victim.key)]
    work.victims.extend(sorted(missing, key=lambda victim: -len(work.cells[victim.key])))
    return work, found


def read_record(store: Store, room: Room, key: str, note: Callable[[str], None]) -> Record | None:
    """A cell's record from its room, or None where there is none or a damaged one, which is dropped."""
    try:
        return store.record(key) if room == "cells" else store.failure(key)
    except Damaged as error:
        note(f"damaged: {error}; dropped")
        store.forget(room, key)
        return None


def execute(
    work: Work, executor: Executor, store: Store, listener: Listener, stopping: Callable[[], bool] = lambda: False
) -> dict[str, Record]:
    """Do ``work``. A failed victim fails its cells; every other failure stays where it is.

    Once ``stopping`` says so, no stage is started any more, and KeyboardInterrupt is raised after those in flight if
    anything is left. Returns the records of failures that the store could not take, by key.
    """
    run = _Run(work, executor, store, listener)
    listener.begin(work.stages, executor.slots)
    while run.running or (run.left and not stopping()):
        if not stopping():
            run.fill()
        if run.running:
            for outcome in executor.wait(TICK):
                run.settle(outcome)
        elif run.left:
            time.sleep(TICK)  # other processes have in work all that is left
        listener.tick([executor.share(slot) for slot in range(executor.slots)])
    if run.left:
        raise KeyboardInterrupt
    return run.unsaved


class _Run:
    """The state of one execution. A stage is in one of ``work``, ``running``, ``later`` and ``alone``."""

    def __init__(self, work: Work, executor: Executor, store: Store, listener: Listener) -> None:
        self.work, self.executor, self.store, self.listener = work, executor, store, listener
        self.running: dict[int, Stage] = {}
        self.later: list[tuple[float, Stage]] = []  # others have them in work: when to look again
        self.alone: deque[Stage] = deque()  # to be tried with nothing else on the device, when all others are done
        self.reserved: dict[str, int] = {}  # devices that a stage has for itself, and its slot
        self.unsaved: dict[str, Record] = {}
        self._waiting = {victim.key for victim in work.victims}
        self._held: dict[int, str] = {}  # the victim that each slot worked on last
        self._misfortunes: dict[str, str] = {}  # why a stage's first try did not count
        self._starts = 0
        self._started: dict[int, int] = {}  # the number of each slot's start
        self._dropped: dict[tuple[str, str], int] = {}  # what was damaged, and after how many starts it was dropped
        self._told = False

    @property
    def left(self) -> bool:
        return bool(self.work or self.later or self.alone)

    def fill(self) -> None:
        """Give every free slot something to do, as far as there is anything."""
        now = time.monotonic()
        for due in [one for one in self.later if one[0] <= now]:
            self.later.remove(due)
            self.work.add(due[1])
        for slot in range(self.executor.slots):
            while slot not in self.running and (stage := self._next(slot)) is not None:
                self._start(slot, stage)

    def settle(self, outcome: Outcome) -> None:
        """Draw the consequences of an outcome."""
        stage = self.running.pop(outcome.slot)
        device = self.executor.devices[outcome.slot]
        if self.reserved.get(device) == outcome.slot:
            del self.reserved[device]
        if outcome.status in ("done", "failed"):
            self._finish(outcome)
        elif outcome.status == "busy":
            self.later.append((time.monotonic() + POLL, stage))
            self.listener.put_back(outcome.slot, stage)
            if not self._told:
                self.listener.note("another run has some of these stages in work; this one takes the others")
                self._told = True
        elif outcome.status == "damaged":
            self._mend(outcome)
        else:
            self._again(outcome)

    def _next(self, slot: int) -> Stage | None:
        """The slot's own victim's cells, else a victim to be made, else the fullest queue of cells that can start;
        when there is nothing else to do on its device, what is to be tried there alone."""
        if not self.executor.ready(slot) or (device := self.executor.devices[slot]) in self.reserved:
            return None
        ready = {key: cells for key, cells in self.work.cells.items() if cells and key not in self._waiting}
        held = self._held.get(slot)
        if held in ready:
            return ready[held].popleft()
        if self.work.victims:
            return self.work.victims.popleft()
        if ready:
            return max(ready.values(), key=len).popleft()
        if self.alone and not any(self.executor.devices[busy] == device for busy in self.running):
            self.reserved[device] = slot
            return self.alone.popleft()
        return None

    def _start(self, slot: int, stage: Stage) -> None:
        self.running[slot] = stage
        self.listener.started(slot, stage)
        if self.store.has(_room(stage), stage.key):  # another run was quicker
            self.settle(Outcome(slot, stage, "done", 0.0))
            return
        self._starts += 1
        self._started[slot] = self._starts
        self._held[slot] = stage.key if isinstance(stage, VictimStage) else stage.victim.key
        self.executor.start(slot, stage)

    def _finish(self, outcome: Outcome) -> None:
        """Keep a failure in the store; with a failed victim, its cells' too."""
        stage, reason = outcome.stage, outcome.reason or "no reason given"
        self.listener.ended(outcome)
        if isinstance(stage, VictimStage):
            self._waiting.discard(stage.key)
        if outcome.status == "done":
            return
        failed = [stage] if isinstance(stage, CellStage) else list(self.work.cells.pop(stage.key, ()))
        if isinstance(stage, VictimStage):
            reason = f"its victim could not be made: {reason}"
        for cell in failed:
            status = _final(outcome)
            origin = provenance.Maker(provenance.current_command(), self.executor.devices[outcome.slot]).columns()
            record = Record(**cell.columns, **origin, status=status, reason=reason)
            files = {"traceback.txt": outcome.traceback or reason}
            if not _put(self.store, "failures", record, files, self.listener.note):
                self.unsaved[cell.key] = record
            if cell is not stage:
                self.listener.ended(Outcome(outcome.slot, cell, status, 0.0, reason))

    def _again(self, outcome: Outcome) -> None:
        """Once more, after what may not have been the stage's own fault; the second time it has failed."""
        stage, reason = outcome.stage, outcome.reason or "no reason given"
        first = self._misfortunes.pop(stage.key, None)
        if first is not None:
            twice = f"{reason}, both times" if first == reason else f"{reason}; the first time: {first}"
            self._finish(Outcome(outcome.slot, stage, _final(outcome), outcome.seconds, twice, outcome.traceback))
            return
        self._misfortunes[stage.key] = reason
        self._held.pop(outcome.slot, None)
        if outcome.status == "memory":
            self.alone.append(stage)
        else:
            self.work.add(stage)
        self.listener.put_back(outcome.slot, stage)
        how = "at the end, with its device for itself" if outcome.status == "memory" else "once more"
        self.listener.note(f"{stage.title}: {reason}; to be tried {how}")

    def _mend(self, outcome: Outcome) -> None:
        """Drop what is damaged, and do it again before the stage that met it; once."""
        stage, what = outcome.stage, cast(tuple[Room, str], outcome.damaged)
        begun = self._started[outcome.slot]
        if self._dropped.get(what, begun) < begun:  # it met not what was dropped, but what was made in its place
            reason = f"{outcome.reason}, again after it was made anew"
            self._finish(Outcome(outcome.slot, stage, "failed", outcome.seconds, reason))
            return
        if what not in self._dropped:
            self._dropped[what] = self._starts
            self.store.forget(*what)
            self.listener.note(f"damaged: {outcome.reason}; dropped, to be made again")
            if isinstance(stage, CellStage) and what == ("victims", stage.victim.key):
                self._waiting.add(stage.victim.key)
                self.work.victims.appendleft(stage.victim)
        self.work.add(stage)
        self.listener.put_back(outcome.slot, stage)


def _final(outcome: Outcome) -> Literal["failed", "timeout"]:
    return "timeout" if outcome.status == "timeout" else "failed"


def _room(stage: Stage) -> Room:
    return "victims" if isinstance(stage, VictimStage) else "cells"


def _put(store: Store, room: Room, record: Record, files: dict[str, str], note: Callable[[str], None]) -> bool:
    """Keep a record that this process makes itself; a full disk does not end the run."""
    try:
        store.write(
            room, record.key, {"record.json": record.to_json(), **files}, durable=False
        )  # nothing was computed for it
    except OSError as error:
        note(f"{record.attack_label} × {record.defense_label}: its {record.status} could not be kept: {error}")
        return False
    return True
