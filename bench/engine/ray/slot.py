"""The worker of one slot of a cluster: an actor, what it has been asked, and what its answers mean."""

import time
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import ray
from ray.exceptions import OutOfMemoryError, RayActorError, RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from bench.engine import process_group
from bench.engine.executor import Outcome, Status
from bench.engine.ray.actor import Opened, RayOrder, Worker
from bench.engine.ray.nodes import Reservation
from bench.engine.ray.session import alive_nodes
from bench.errors import one_line
from bench.plan.stages import Stage

LOOK = 0.5  # seconds between two questions for a stage's progress
WATCH = "watch"  # the concurrency group in which a busy actor still answers


@dataclass
class Slot:
    """A slot and its worker, if it has one.

    ``reservation``: None while no node has room. ``since``: when the worker or the stage began, or the reservation was
    lost, in monotonic seconds. ``failures``: how many workers in succession could not be opened; ``problem``: why the
    last of them could not.
    """

    reservation: Reservation | None
    since: float = 0.0
    failures: int = 0
    problem: str = ""
    _actor: Any = None
    _opening: Any = None
    _result: Any = None
    _stage: Stage | None = None
    _asked: Any = None
    _looked: float = 0.0
    _progress: float = 0.0

    @property
    def opening(self) -> bool:
        """Whether there is a worker that is still starting."""
        return self._opening is not None

    @property
    def open(self) -> bool:
        """Whether there is a worker that has started."""
        return self._actor is not None and not self.opening

    @property
    def idle(self) -> bool:
        """Whether there is a worker that has started and computes nothing."""
        return self.open and self._result is None

    @property
    def result(self) -> Any:
        """The stage's outcome to come, for ``ray.wait``; None if no stage is running."""
        return self._result

    def engage(self, order: RayOrder, reservation: Reservation) -> None:
        """Start a worker; ``opened`` tells when it has started."""
        self.reservation, self.since = reservation, time.monotonic()
        on_node = NodeAffinitySchedulingStrategy(reservation.node.id, soft=False)
        kind = ray.remote(concurrency_groups={WATCH: 1})(_Watched)  # type: ignore[call-overload]
        self._actor = kind.options(
            num_cpus=reservation.cpus, num_gpus=reservation.gpu, scheduling_strategy=on_node, max_restarts=0
        ).remote()
        self._opening = self._actor.open.remote(order)

    def opened(self) -> Opened | None:
        """How the worker's opening went, once; None while it is starting. Raises RayError if it died."""
        if self._opening is None or not ray.wait([self._opening], timeout=0)[0]:
            return None
        opening, self._opening = self._opening, None
        opened: Opened = ray.get(opening)
        return opened

    def start(self, slot: int, stage: Stage) -> None:
        """Have the idle worker run a stage. ``slot``: this slot's number."""
        self._stage, self._progress, self.since = stage, 0.0, time.monotonic()
        self._result = self._actor.work.remote(stage, slot)

    def outcome(self, slot: int) -> Outcome:
        """How the stage ended, once ``result`` is there."""
        result, self._result = self._result, None
        stage, seconds = self._running(), time.monotonic() - self.since
        try:
            outcome: Outcome = ray.get(result)
        except (RayActorError, OutOfMemoryError) as error:
            return Outcome(slot, stage, *self._death(error, seconds))
        except RayError as error:  # such as an outcome that could not be sent
            return Outcome(slot, stage, "failed", seconds, one_line(error), str(error))
        return replace(outcome, remedy="its worker was replaced")

    def overdue(self, slot: int, timeout: float | None) -> Outcome | None:
        """The outcome of a stage that has run longer than ``timeout`` seconds, or None."""
        seconds = time.monotonic() - self.since
        if timeout is None or self._result is None or seconds < timeout:
            return None
        self._result = None
        return Outcome(slot, self._running(), "timeout", seconds, f"stopped after the timeout of {timeout:g} s")

    def look(self) -> float:
        """How much of the stage was done, in [0, 1], by the last answer; the worker is asked again, without waiting.

        Raises RayError if an idle worker is dead. If one with a stage is, the stage's outcome says so.
        """
        if self._asked is not None and ray.wait([self._asked], timeout=0)[0]:
            asked, self._asked = self._asked, None
            try:
                self._progress = ray.get(asked)
            except RayError:
                if self.idle:
                    raise
        now = time.monotonic()
        if self._asked is None and self.open and now - self._looked > LOOK:
            self._asked, self._looked = self._actor.progress.remote(), now
        return self._progress

    def kill(self) -> None:
        """End the worker; a stage that it is computing is lost."""
        if self._actor is not None:
            with suppress(RayError):  # such as that its node is gone
                ray.kill(self._actor)
        self._actor = self._opening = self._result = self._asked = None

    def _running(self) -> Stage:
        if self._stage is None:
            raise RuntimeError("no stage was started here")
        return self._stage

    def _death(self, error: RayError, seconds: float) -> tuple[Status, float, str, str]:
        """Status, seconds, reason and traceback of the outcome of a worker that died."""
        text = str(error)
        name = self.reservation.node.name if self.reservation else "unknown"
        if isinstance(error, OutOfMemoryError) or "low on memory" in text:  # Ray stops workers before the system does
            return "memory", seconds, f"the worker was stopped for lack of memory (node {name})", text
        lost = self.reservation is not None and self.reservation.node.id not in {node.id for node in alive_nodes()}
        return "died", seconds, f"the worker died ({'with its ' if lost else ''}node {name})", text


class _Watched(Worker):
    def open(self, order: RayOrder) -> Opened:
        process_group.lead()
        return super().open(order)

    @ray.method(concurrency_group=WATCH)
    def progress(self) -> float:  # type: ignore[override]  # the decorator only marks it
        return super().progress()
