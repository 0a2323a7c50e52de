"""In which order stages run, and what follows from their outcomes."""

import time
from collections import deque
from collections.abc import Callable, Collection
from typing import Literal, Protocol, cast

from bench import provenance
from bench.cell.verdicts import Verdicts
from bench.engine.executor import Executor, Outcome
from bench.engine.outstanding import Work, put_record
from bench.plan.stages import CellStage, Ref, Stage, VictimStage
from bench.records import Record
from bench.store.store import Section, Store

TICK = 0.2  # seconds between two looks at the clock and the display
POLL = 1.0  # seconds until a stage that another process is computing is looked at again


class Listener(Protocol):
    """Is told what happens, to show it to the user; ``bench.engine.display`` has some of them."""

    def note(self, line: str) -> None:
        """Something that the user should know. It may be called from another thread."""

    def known(self, records: Collection[Record]) -> None:
        """The records of the request's cells that need not be computed.

        A listener with a ``clock`` (``bench.engine.clock.Clock``) is also handed some of other requests, to learn from.
        """

    def begin(self, stages: list[Stage], slots: int) -> None:
        """These stages are to be done, as many at a time as there are slots."""

    def started(self, slot: int, stage: Stage) -> None:
        """A slot begins a stage."""

    def put_back(self, slot: int, stage: Stage) -> None:
        """A slot is free again, and its stage will be started once more."""

    def ended(self, outcome: Outcome) -> None:
        """A stage is over. A cell whose victim failed was never started."""

    def tick(self, progress: list[float]) -> None:
        """Called a few times a second, with the share of each slot's stage that is done, in [0, 1]."""


def execute(
    work: Work, executor: Executor, store: Store, listener: Listener, stopping: Callable[[], bool] = lambda: False
) -> dict[str, Record]:
    """Do ``work``. A failed victim fails its cells; any other failure concerns its own stage only.

    Once ``stopping()`` is true no stage is started any more. When those in flight have ended, KeyboardInterrupt is
    raised if anything is left to do. Returns the records of failures that could not be stored, by key.
    """
    run = _Run(work, executor, store, listener)
    listener.begin(work.stages, executor.slots)
    while run.running or (run.left and not stopping()):
        if not stopping():
            run.fill()
        if run.running:
            ended = executor.wait(TICK)
            for slot in set(run.running) - {outcome.slot for outcome in ended}:
                run.pass_on(slot)
            for outcome in ended:
                run.settle(outcome)
        elif run.left:
            time.sleep(TICK)  # other processes are computing all that is left
        listener.tick([executor.progress(slot) for slot in range(executor.slots)])
    if run.left:
        raise KeyboardInterrupt
    return run.unsaved


class _Run:
    """The state of one execution.

    A stage that is not over is in one of ``work``, ``running``, ``busy_elsewhere`` and ``to_retry_alone``.
    """

    def __init__(self, work: Work, executor: Executor, store: Store, listener: Listener) -> None:
        self.work, self.executor, self.store, self.listener = work, executor, store, listener
        self.running: dict[int, Stage] = {}
        self.busy_elsewhere: list[tuple[float, Stage]] = []  # other processes compute them: when to look again
        self.to_retry_alone: deque[Stage] = deque()  # when all others are done, with nothing else on the device
        self.reserved: dict[str, int] = {}  # devices on which a stage is retried alone, and its slot
        self.unsaved: dict[str, Record] = {}
        self.verdicts = Verdicts(list(work.natural), list(work.victims), store)
        self._victims_to_make = {victim.key for victim in work.victims}
        self._last_victim: dict[int, str] = {}  # the victim that each slot has loaded
        self._first_failures: dict[str, str] = {}  # why a stage is tried once more
        self._starts = 0
        self._started: dict[int, int] = {}  # the number of each slot's start
        self._dropped: dict[tuple[str, str], int] = {}  # what was damaged, and after how many starts it was dropped
        self._noted_busy: set[str | None] = set()  # the processes that were named

    @property
    def left(self) -> bool:
        """Whether anything is still to be started."""
        return bool(self.work or self.busy_elsewhere or self.to_retry_alone)

    def fill(self) -> None:
        """Start a stage in every free slot, as far as there are any."""
        now = time.monotonic()
        for due in [one for one in self.busy_elsewhere if one[0] <= now]:
            self.busy_elsewhere.remove(due)
            self.work.add(due[1])
        for slot in range(self.executor.slots):
            while slot not in self.running and (stage := self._next(slot)) is not None:
                self._start(slot, stage)

    def pass_on(self, slot: int) -> None:
        """Say what the stage in this slot is printing."""
        for line in self.executor.printed(slot):
            self.listener.note(f"{self.running[slot].title} prints: {line}")

    def settle(self, outcome: Outcome) -> None:
        """Do what follows from an outcome."""
        stage = self.running.pop(outcome.slot)
        device = self.executor.devices[outcome.slot]
        if self.reserved.get(device) == outcome.slot:
            del self.reserved[device]
        self._tell(outcome)
        if outcome.status in ("done", "failed"):
            self._finish(outcome)
        elif outcome.status == "busy":
            self.busy_elsewhere.append((time.monotonic() + POLL, stage))
            self.listener.put_back(outcome.slot, stage)
            if outcome.reason not in self._noted_busy:
                whose = f" ({outcome.reason})" if outcome.reason else ""
                self.listener.note(f"another run is computing some of these stages{whose}; this one takes the others")
                self._noted_busy.add(outcome.reason)
        elif outcome.status == "damaged":
            self._repair_store(outcome)
        else:
            self._retry(outcome)

    def _tell(self, outcome: Outcome) -> None:
        """Say what a stage printed, and what it left changed in its worker."""
        stage = outcome.stage
        for number, line in enumerate(outcome.printed):
            self.listener.note(f"    {line}" if number else f"{stage.title} {line}")
        if outcome.changed:
            by = _blamed(stage)
            self.listener.note(f"{by.kind} {by.name!r} left {', '.join(outcome.changed)}; {outcome.remedy}")
            self._last_victim.pop(outcome.slot, None)

    def _next(self, slot: int) -> Stage | None:
        """A cell of the victim that the slot has loaded, else a victim, else a cell from the fullest queue.

        After these a benign network under a trigger, for which nothing waits. When there is nothing else to do on the
        slot's device, a stage that is to be retried alone there.
        """
        if not self.executor.ready(slot) or (device := self.executor.devices[slot]) in self.reserved:
            return None
        ready = {key: cells for key, cells in self.work.cells.items() if cells and key not in self._victims_to_make}
        loaded = self._last_victim.get(slot)
        if loaded in ready:
            return ready[loaded].popleft()
        if self.work.victims:
            return self.work.victims.popleft()
        if ready:
            return max(ready.values(), key=len).popleft()
        for natural in self.work.natural:
            if self._victims_to_make.isdisjoint(parent.key for parent in natural.parents):
                self.work.natural.remove(natural)
                return natural
        if self.to_retry_alone and not any(self.executor.devices[busy] == device for busy in self.running):
            self.reserved[device] = slot
            return self.to_retry_alone.popleft()
        return None

    def _start(self, slot: int, stage: Stage) -> None:
        self.running[slot] = stage
        self.listener.started(slot, stage)
        if (found := self.work.found(stage, self.store)) is not None:
            self.settle(Outcome(slot, stage, found, 0.0))
            return
        self._starts += 1
        self._started[slot] = self._starts
        self._last_victim[slot] = (stage, *stage.parents)[-1].key
        self.executor.start(slot, stage)

    def _finish(self, outcome: Outcome) -> None:
        """A stage is over. Store the failure of a cell; a failed victim fails what waits for it, too."""
        stage, reason = outcome.stage, outcome.reason or "no reason given"
        self.listener.ended(outcome)
        for line in self.verdicts.learn(stage, outcome.measured):
            self.listener.note(line)
        if isinstance(stage, VictimStage):
            self._victims_to_make.discard(stage.key)
        if outcome.status == "done":
            return
        status = _final(outcome)
        failed = [stage] if isinstance(stage, CellStage) else list(self.work.cells.pop(stage.key, ()))
        if isinstance(stage, VictimStage):
            reason = f"its victim could not be made: {reason}"
            for natural in self.work.pop_natural(stage):
                self.listener.ended(Outcome(outcome.slot, natural, status, 0.0, reason))
        for cell in failed:
            origin = provenance.Maker(provenance.current_command(), self.executor.devices[outcome.slot]).columns()
            record = Record(**cell.columns, **origin, status=status, reason=reason)
            files = {"traceback.txt": outcome.traceback or reason}
            if not put_record(self.store, "failures", record, files, self.listener.note):
                self.unsaved[cell.key] = record
            if cell is not stage:
                self.listener.ended(Outcome(outcome.slot, cell, status, 0.0, reason))

    def _retry(self, outcome: Outcome) -> None:
        """Try a stage once more after what may not have been its own fault. The second time, it has failed."""
        stage, reason = outcome.stage, outcome.reason or "no reason given"
        first = self._first_failures.pop(stage.key, None)
        if first is not None:
            both = f"{reason}, both times" if first == reason else f"{reason}; the first time: {first}"
            self._finish(Outcome(outcome.slot, stage, _final(outcome), outcome.seconds, both, outcome.traceback))
            return
        self._first_failures[stage.key] = reason
        self._last_victim.pop(outcome.slot, None)
        if outcome.status == "memory":
            self.to_retry_alone.append(stage)
        else:
            self.work.add(stage)
        self.listener.put_back(outcome.slot, stage)
        how = "at the end, alone on its device" if outcome.status == "memory" else "once more"
        self.listener.note(f"{stage.title}: {reason}; to be tried {how}")

    def _repair_store(self, outcome: Outcome) -> None:
        """Remove a damaged stage and make it again before the stage that needs it; once."""
        stage, damaged = outcome.stage, cast(tuple[Section, str], outcome.damaged)
        start = self._started[outcome.slot]
        if self._dropped.get(damaged, start) < start:  # so what is damaged is what was made in its place
            reason = f"{outcome.reason}, again after it was made anew"
            self._finish(Outcome(outcome.slot, stage, "failed", outcome.seconds, reason))
            return
        if damaged not in self._dropped:
            self._dropped[damaged] = self._starts
            self.store.forget(*damaged)
            self.listener.note(f"damaged: {outcome.reason}; dropped, to be made again")
            for parent in stage.parents:
                if damaged == ("victims", parent.key):
                    self._victims_to_make.add(parent.key)
                    self.work.victims.appendleft(parent)
        self.work.add(stage)
        self.listener.put_back(outcome.slot, stage)


def _blamed(stage: Stage) -> Ref:
    """The plugin that is named for what a stage left changed."""
    if isinstance(stage, CellStage):
        return stage.defense
    return stage.attack if isinstance(stage, VictimStage) else stage.victim.attack


def _final(outcome: Outcome) -> Literal["failed", "timeout"]:
    return "timeout" if outcome.status == "timeout" else "failed"
