"""One long-lived worker process for each slot. A crash, an exception or a timeout fails only its own stage."""

import multiprocessing
import signal
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, TimeoutError, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from multiprocessing import resource_tracker
from multiprocessing.process import BaseProcess

from pebble import ProcessExpired, ProcessPool

from bench.engine import local_worker, process_group
from bench.engine.executor import Outcome, Status, WorkerSettings
from bench.engine.printed import Spool
from bench.engine.spawning import WithoutMain
from bench.errors import how_ended
from bench.plan.stages import Stage
from bench.store import logs

_SPAWN = WithoutMain()  # to spawn is the only start method that is safe with CUDA and threads
KILLED, BEFORE_START = "signal SIGKILL", "before it had begun"
GRACE = 1.0  # seconds in which a pool may report the death of its worker itself


@dataclass
class _Task:
    """A stage that is running. ``death``: when its worker was first seen dead, and how it died."""

    slot: int
    stage: Stage
    began: float = field(default_factory=time.perf_counter)
    death: tuple[float, str] | None = None


class Local:
    """A worker for each slot, so that a cell can be sent to the worker that has already loaded its victim."""

    def __init__(self, settings: WorkerSettings, devices: list[str]) -> None:
        self.slots = len(devices)
        self.devices = devices
        self._settings = settings
        self._workers = [_Worker(settings, device) for device in devices]
        self._running: dict[Future[Outcome], _Task] = {}

    def ready(self, slot: int) -> bool:
        return True

    def start(self, slot: int, stage: Stage) -> None:
        if self._workers[slot].death is not None:  # it died while it was idle
            self._replace(slot)
        try:
            future = self._workers[slot].schedule(stage, slot, self._settings.options.timeout)
        except RuntimeError:  # it died just now
            self._replace(slot)
            future = self._workers[slot].schedule(stage, slot, self._settings.options.timeout)
        self._running[future] = _Task(slot, stage)

    def wait(self, seconds: float) -> list[Outcome]:
        ended, running = wait(self._running, timeout=seconds, return_when=FIRST_COMPLETED)
        outcomes = [_outcome(future, self._running[future], self._settings.options.timeout) for future in ended]
        lost = {future: death for future in running if (death := self._death(self._running[future]))}
        outcomes += [_died(self._running[future], death) for future, death in lost.items()]
        for future in (*ended, *lost):
            del self._running[future]
        for worker in self._workers:
            worker.spool.bound()
        alive = {outcome.slot for outcome, future in zip(outcomes, ended, strict=False) if future.exception() is None}
        return [self._settled(outcome, alive=outcome.slot in alive) for outcome in outcomes]

    def progress(self, slot: int) -> float:
        return self._workers[slot].progress

    def printed(self, slot: int) -> tuple[str, ...]:
        return self._workers[slot].printed()

    def close(self) -> None:
        for worker in self._workers:
            worker.stop()
        for worker in self._workers:
            worker.join()

    def _settled(self, outcome: Outcome, *, alive: bool) -> Outcome:
        """The outcome with what its stage printed, after the worker was replaced if it cannot go on.

        ``alive``: whether the outcome is the worker's own word. If so, it was another process of the stage that died.
        """
        spool = self._workers[outcome.slot].spool
        starved = outcome.status == "memory" and self.devices[outcome.slot] == "cpu"  # killed, or still holding it
        lost = outcome.status in ("died", "timeout") or starved
        if lost and (text := spool.end()):
            said = f"{outcome.traceback or outcome.reason}\n\nthe end of what was printed:\n{text}"
            outcome = replace(outcome, traceback=said)
        kept = logs.put(self._settings.store, outcome.stage.key, whole) if (whole := spool.text()).strip() else None
        lines = spool.take()
        if kept is not None and any(line.startswith("printed") and " bytes" in line for line in lines[:1]):
            lines = (*lines, f"all of it: {kept}")
        outcome = replace(outcome, printed=lines, remedy="its worker was replaced")
        if outcome.changed or starved or not alive:
            self._replace(outcome.slot)
        return outcome

    def _replace(self, slot: int) -> None:
        """Start another pool, and not only another process: the dead one may hold a lock of its pool's pipes."""
        self._workers[slot].stop()
        self._workers[slot].join()
        self._workers[slot] = _Worker(self._settings, self.devices[slot])

    def _death(self, task: _Task) -> str | None:
        """How a task's worker died, if its pool does not say so: it does not notice an exit with status 0."""
        now = time.perf_counter()
        if task.death is None and (how := self._workers[task.slot].death) is not None:
            task.death = now, how
        return task.death[1] if task.death is not None and now - task.death[0] > GRACE else None


class _Worker:
    """A pool of one process."""

    def __init__(self, settings: WorkerSettings, device: str) -> None:
        # without locks: a worker that is killed while it holds one would never release it
        self._progress = _SPAWN.Value("d", 0.0, lock=False)
        self._pid = _SPAWN.Value("q", 0, lock=False)
        self._at_work_on = _SPAWN.Value("q", 0, lock=False)  # the number of the stage, once it has begun there
        self._scheduled = 0
        self.spool = Spool()
        self._process: BaseProcess | None = None
        self._begun = False
        arguments = settings, device, self._progress, self._pid, self.spool, self._at_work_on
        self._pool = ProcessPool(max_workers=1, context=_SPAWN, initializer=local_worker.begin, initargs=arguments)

    def schedule(self, stage: Stage, slot: int, timeout: float | None) -> "Future[Outcome]":
        self._begun = True
        self._scheduled += 1
        with _interrupts_blocked():  # the pool's threads and processes inherit it
            future: Future[Outcome] = self._pool.schedule(local_worker.run, args=(stage, slot), timeout=timeout)
        return future

    @property
    def progress(self) -> float:
        return float(self._progress.value)

    def printed(self) -> tuple[str, ...]:
        """What the stage is printing; not what was printed while the worker started."""
        return self.spool.lines() if self._at_work_on.value == self._scheduled else ()

    @property
    def death(self) -> str | None:
        """How the process died, or None if it has not."""
        if not self._begun:
            return None
        if not self._pool.active:
            return BEFORE_START
        pid = self._pid.value
        if not pid:
            return None  # it is still starting
        if self._process is None or self._process.pid != pid:
            self._process = next((child for child in multiprocessing.active_children() if child.pid == pid), None)
        if self._process is None:
            return "exit code unknown"
        return None if self._process.exitcode is None else how_ended(self._process.exitcode)

    def stop(self) -> None:
        """End the process and all that its stage has started."""
        self._pool.stop()  # type: ignore[no-untyped-call]
        if self._pid.value:
            process_group.end_group(self._pid.value)

    def join(self) -> None:
        self._pool.join()
        self.spool.close()


def _outcome(future: "Future[Outcome]", task: _Task, timeout: float | None) -> Outcome:
    seconds = time.perf_counter() - task.began
    match future.exception():
        case None:
            return future.result()
        case TimeoutError():
            reason = f"stopped after the timeout of {timeout:g} s"
            return Outcome(task.slot, task.stage, "timeout", seconds, reason)
        case ProcessExpired(exitcode=exitcode):
            return _died(task, how_ended(exitcode))
        case BrokenProcessPool():  # no process had taken the stage yet
            return _died(task, BEFORE_START)
        case error:  # such as an outcome that could not be sent
            return Outcome(task.slot, task.stage, "failed", seconds, f"{type(error).__name__}: {error}")


def _died(task: _Task, how: str) -> Outcome:
    status: Status = "memory" if how.startswith(KILLED) else "died"
    seconds = time.perf_counter() - task.began
    return Outcome(task.slot, task.stage, status, seconds, f"the worker died ({how})")


@contextmanager
def _interrupts_blocked() -> Iterator[None]:
    """Ctrl-C reaches every process of a terminal: it would kill a worker that is still starting."""
    resource_tracker.ensure_running()  # it unblocks them when it starts
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
