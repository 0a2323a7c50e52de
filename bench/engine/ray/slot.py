"""The worker of one slot of a cluster: an actor, what is awaited of it, and what its answers mean."""

import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import ray
from ray.exceptions import OutOfMemoryError, RayActorError, RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from bench.engine.executor import Outcome, Status
from bench.engine.ray.actor import Opened, Order, Worker
from bench.engine.ray.nodes import Place
from bench.engine.ray.session import alive
from bench.errors import one_line
from bench.plan.stages import Stage

LOOK = 0.5  # seconds between two looks at how far a stage is
WATCH = "watch"  # the concurrency group in which a busy actor still answers


@dataclass
class Seat:
    """``place`` is None while there is none. Of the times (monotonic seconds), ``since`` is that of the last change."""

    place: Place | None
    since: float = 0.0
    failures: int = 0  # of opening a worker, one after the other
    problem: str = ""  # what the last of them was
    _actor: Any = None
    _opening: Any = None
    _result: Any = None
    _stage: Stage | None = None
    _asked: Any = None
    _looked: float = 0.0
    _share: float = 0.0

    @property
    def opening(self) -> bool:
        return self._opening is not None

    @property
    def open(self) -> bool:
        """Whether there is a worker, and it has said so."""
        return self._actor is not None and not self.opening

    @property
    def idle(self) -> bool:
        """Whether there is a worker that waits for a stage."""
        return self.open and self._result is None

    @property
    def result(self) -> Any:
        """What ``ray.wait`` can wait for, or None if no stage is in work."""
        return self._result

    def engage(self, order: Order, place: Place) -> None:
        """Start a worker; ``opened`` tells when it is there."""
        self.place, self.since = place, time.monotonic()
        here = NodeAffinitySchedulingStrategy(place.node.id, soft=False)
        kind = ray.remote(concurrency_groups={WATCH: 1})(_Watched)  # type: ignore[call-overload]
        self._actor = kind.options(
            num_cpus=place.cpus, num_gpus=place.gpu, scheduling_strategy=here, max_restarts=0
        ).remote()
        self._opening = self._actor.open.remote(order)

    def opened(self) -> Opened | None:
        """What the worker found, once; None while it is starting. Raises RayError if it died."""
        if self._opening is None or not ray.wait([self._opening], timeout=0)[0]:
            return None
        opening, self._opening = self._opening, None
        found: Opened = ray.get(opening)
        return found

    def start(self, slot: int, stage: Stage) -> None:
        self._stage, self._share, self.since = stage, 0.0, time.monotonic()
        self._result = self._actor.work.remote(stage, slot)

    def outcome(self, slot: int) -> Outcome:
        """How the stage ended, which has."""
        result, self._result = self._result, None
        stage, seconds = self._in_work(), time.monotonic() - self.since
        try:
            found: Outcome = ray.get(result)
        except (RayActorError, OutOfMemoryError) as error:
            return Outcome(slot, stage, *self._death(error, seconds))
        except RayError as error:  # such as an outcome that could not be sent
            return Outcome(slot, stage, "failed", seconds, one_line(error), str(error))
        return found

    def overdue(self, slot: int, timeout: float | None) -> Outcome | None:
        """The outcome of a stage that has had its time, or None."""
        seconds = time.monotonic() - self.since
        if timeout is None or self._result is None or seconds < timeout:
            return None
        self._result = None
        return Outcome(slot, self._in_work(), "timeout", seconds, f"stopped after the timeout of {timeout:g} s")

    def look(self) -> float:
        """The last known share of the stage; it is asked for anew, and not waited for. Raises RayError if an idle
        worker is found dead: one with a stage has an outcome to say so."""
        if self._asked is not None and ray.wait([self._asked], timeout=0)[0]:
            asked, self._asked = self._asked, None
            try:
                self._share = ray.get(asked)
            except RayError:
                if self.idle:
                    raise
        now = time.monotonic()
        if self._asked is None and self.open and now - self._looked > LOOK:
            self._asked, self._looked = self._actor.share.remote(), now
        return self._share

    def kill(self) -> None:
        """End the worker; a stage in work is lost."""
        if self._actor is not None:
            with suppress(RayError):  # such as that it is dead, and its node
                ray.kill(self._actor)
        self._actor = self._opening = self._result = self._asked = None

    def _in_work(self) -> Stage:
        if self._stage is None:
            raise RuntimeError("no stage was started here")
        return self._stage

    def _death(self, error: RayError, seconds: float) -> tuple[Status, float, str, str]:
        """Status, seconds, reason and the whole story of a worker that died."""
        text = str(error)
        name = self.place.node.name if self.place else "unknown"
        if isinstance(error, OutOfMemoryError) or "low on memory" in text:  # Ray stops workers before the system does
            return "memory", seconds, f"the worker was stopped for want of memory (node {name})", text
        gone = self.place is not None and self.place.node.id not in {node.id for node in alive()}
        return "died", seconds, f"the worker died ({'with its ' if gone else ''}node {name})", text


class _Watched(Worker):
    @ray.method(concurrency_group=WATCH)
    def share(self) -> float:  # type: ignore[override]  # the decorator only marks it
        return super().share()
