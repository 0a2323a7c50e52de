"""In which order stages run, and what becomes of their outcomes."""

from collections import deque
from dataclasses import dataclass, field
from typing import Protocol

from bench.executors import Executor, Outcome
from bench.plan import CellStage, Plan, Stage, VictimStage
from bench.records import Record
from bench.stages import describe
from bench.store import Store


class Listener(Protocol):
    """Is told what happens; see ``bench.display``."""

    def note(self, line: str) -> None: ...
    def begin(self, stages: list[Stage], slots: int) -> None: ...
    def started(self, slot: int, stage: Stage) -> None: ...
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


def outstanding(plan: Plan, store: Store) -> Work:
    """What the store does not have yet; the victims with the most waiting defenses come first."""
    work = Work()
    for cell in plan.cells:
        if not store.has("cells", cell.key):
            work.cells.setdefault(cell.victim.key, deque()).append(cell)
    missing = [victim for victim in plan.victims if victim.key in work.cells and not store.has("victims", victim.key)]
    work.victims.extend(sorted(missing, key=lambda victim: -len(work.cells[victim.key])))
    return work


def decline(plan: Plan, store: Store) -> None:
    """Put a record into the store for every outstanding cell that is not applicable."""
    for cell in plan.cells:
        if not store.has("cells", cell.key) and (reason := plan.unsupported(cell)) is not None:
            record = Record(**describe(cell), status="not-applicable", reason=reason)
            store.write("cells", cell.key, {"record.json": record.model_dump_json(indent=1)})


def execute(work: Work, executor: Executor, store: Store, listener: Listener) -> None:
    """Do ``work``. A failed victim fails its cells; every other failure stays where it is."""
    waiting = {victim.key for victim in work.victims}
    running: dict[int, Stage] = {}
    held: dict[int, str] = {}  # the victim that each slot worked on last
    listener.begin(work.stages, executor.slots)
    while running or work:
        for slot in range(executor.slots):
            if slot in running or not executor.ready(slot):
                continue
            if (stage := _next(work, waiting, held.get(slot))) is not None:
                running[slot] = stage
                held[slot] = stage.key if isinstance(stage, VictimStage) else stage.victim.key
                listener.started(slot, stage)
                executor.start(slot, stage)
        for outcome in executor.wait(0.2):
            del running[outcome.slot]
            if isinstance(outcome.stage, VictimStage):
                waiting.discard(outcome.stage.key)
            for lost in _settle(outcome, work, store):
                listener.ended(lost)
        listener.tick([executor.share(slot) for slot in range(executor.slots)])


def _next(work: Work, waiting: set[str], held: str | None) -> Stage | None:
    """The slot's own victim's cells, else a victim to be made, else the fullest queue of cells that can start."""
    ready = {key: cells for key, cells in work.cells.items() if cells and key not in waiting}
    if held in ready:
        return ready[held].popleft()
    if work.victims:
        return work.victims.popleft()
    if ready:
        return max(ready.values(), key=len).popleft()
    return None


def _settle(outcome: Outcome, work: Work, store: Store) -> list[Outcome]:
    """Keep a failure in the store; with a failed victim, its cells' too. Returns all that has thereby ended."""
    ended = [outcome]
    if outcome.status == "done":
        return ended
    failed = [outcome.stage] if isinstance(outcome.stage, CellStage) else []
    reason = outcome.reason or "no reason given"
    if isinstance(outcome.stage, VictimStage):
        failed = list(work.cells.pop(outcome.stage.key, ()))
        reason = f"its victim could not be made: {reason}"
        ended += [Outcome(outcome.slot, cell, outcome.status, 0.0, reason) for cell in failed]
    for cell in failed:
        record = Record(**describe(cell), status="timeout" if outcome.status == "timeout" else "failed", reason=reason)
        files = {"record.json": record.model_dump_json(indent=1), "traceback.txt": outcome.traceback or reason}
        store.write("failures", cell.key, files)
    return ended
