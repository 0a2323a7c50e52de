"""One long-lived worker process a slot. A crash, an exception or a timeout fails only the stage that it met."""

import ctypes
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, TimeoutError, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import connection, resource_tracker
from multiprocessing.process import BaseProcess
from typing import Any

from pebble import ProcessExpired, ProcessPool

from bench.cell.workshop import Workshop
from bench.engine.executor import Outcome, Site, Status
from bench.engine.worker import open_workshop, work
from bench.plan.stages import Stage

_shop: Workshop | None = None  # of this worker process
_SPAWN = multiprocessing.get_context("spawn")  # the only way that is safe with CUDA and threads
KILLED, STARTING = "signal SIGKILL", "before it had begun"
GRACE = 1.0  # seconds that a pool gets to report the death of its worker itself


@dataclass
class _Task:
    """A stage in work. ``death``: when and how its worker was first seen dead."""

    slot: int
    stage: Stage
    began: float = field(default_factory=time.perf_counter)
    death: tuple[float, str] | None = None


class Local:
    """A worker for each slot, so that a stage can be sent to the one that knows its victim."""

    def __init__(self, site: Site, devices: list[str]) -> None:
        self.slots = len(devices)
        self.devices = devices
        self._site = site
        self._workers = [_Worker(site, device) for device in devices]
        self._running: dict[Future[Outcome], _Task] = {}

    def ready(self, slot: int) -> bool:
        return True

    def start(self, slot: int, stage: Stage) -> None:
        if self._workers[slot].death is not None:  # it died while it had nothing to do
            self._replace(slot)
        try:
            future = self._workers[slot].schedule(stage, slot, self._site.timeout)
        except RuntimeError:  # in this very moment
            self._replace(slot)
            future = self._workers[slot].schedule(stage, slot, self._site.timeout)
        self._running[future] = _Task(slot, stage)

    def wait(self, seconds: float) -> list[Outcome]:
        ended, still = wait(self._running, timeout=seconds, return_when=FIRST_COMPLETED)
        outcomes = [_outcome(future, self._running[future], self._site.timeout) for future in ended]
        lost = {future: death for future in still if (death := self._death(self._running[future]))}
        outcomes += [_died(self._running[future], death) for future, death in lost.items()]
        for future in (*ended, *lost):
            del self._running[future]
        for outcome in outcomes:
            starved = outcome.status == "memory" and self.devices[outcome.slot] == "cpu"
            if outcome.status in ("died", "timeout") or starved:
                self._replace(outcome.slot)
        return outcomes

    def share(self, slot: int) -> float:
        return self._workers[slot].share

    def close(self) -> None:
        for worker in self._workers:
            worker.stop()
        for worker in self._workers:
            worker.join()

    def _replace(self, slot: int) -> None:
        """Another pool, and not only another process: the dead may hold a lock of the old one's pipes."""
        self._workers[slot].stop()
        self._workers[slot].join()
        self._workers[slot] = _Worker(self._site, self.devices[slot])

    def _death(self, task: _Task) -> str | None:
        """How a task's worker died, where its pool does not say: it misses an exit with status 0."""
        now = time.perf_counter()
        if task.death is None and (found := self._workers[task.slot].death) is not None:
            task.death = now, found
        return task.death[1] if task.death is not None and now - task.death[0] > GRACE else None


class _Worker:
    """A pool of one process."""

    def __init__(self, site: Site, device: str) -> None:
        # without locks: a worker that is killed while it holds one would keep it for ever
        self._share = _SPAWN.Value("d", 0.0, lock=False)
        self._pid = _SPAWN.Value("q", 0, lock=False)
        self._process: BaseProcess | None = None
        self._begun = False
        starting = site, device, self._share, self._pid
        self._pool = ProcessPool(max_workers=1, context=_SPAWN, initializer=_begin, initargs=starting)

    def schedule(self, stage: Stage, slot: int, timeout: float | None) -> "Future[Outcome]":
        self._begun = True
        with _interrupts_blocked():  # the pool's threads and processes inherit it
            future: Future[Outcome] = self._pool.schedule(_work, args=(stage, slot), timeout=timeout)
        return future

    @property
    def share(self) -> float:
        return float(self._share.value)

    @property
    def death(self) -> str | None:
        """How the process died, or None while all is well."""
        if not self._begun:
            return None
        if not self._pool.active:
            return STARTING
        pid = self._pid.value
        if not pid:
            return None  # it is still starting
        if self._process is None or self._process.pid != pid:
            self._process = next((child for child in multiprocessing.active_children() if child.pid == pid), None)
        if self._process is None:
            return "exit code unknown"
        return None if self._process.exitcode is None else _how(self._process.exitcode)

    def stop(self) -> None:
        self._pool.stop()  # type: ignore[no-untyped-call]

    def join(self) -> None:
        self._pool.join()


def _outcome(future: "Future[Outcome]", task: _Task, timeout: float | None) -> Outcome:
    seconds = time.perf_counter() - task.began
    match future.exception():
        case None:
            return future.result()
        case TimeoutError():
            reason = f"stopped after the timeout of {timeout:g} s"
            return Outcome(task.slot, task.stage, "timeout", seconds, reason)
        case ProcessExpired(exitcode=exitcode):
            return _died(task, _how(exitcode))
        case BrokenProcessPool():  # nobody had taken the stage yet
            return _died(task, STARTING)
        case error:  # such as an outcome that could not be sent
            return Outcome(task.slot, task.stage, "failed", seconds, f"{type(error).__name__}: {error}")


def _died(task: _Task, how: str) -> Outcome:
    status: Status = "memory" if how.startswith(KILLED) else "died"
    seconds = time.perf_counter() - task.began
    return Outcome(task.slot, task.stage, status, seconds, f"the worker died ({how})")


def _how(exitcode: int) -> str:
    if exitcode >= 0:
        return f"exit code {exitcode}"
    name = f"signal {signal.Signals(-exitcode).name}"
    return f"{name}; out of memory?" if name == KILLED else name


# --- in the worker -----------------------------------------------------------------------------------


def _begin(site: Site, device: str, share: Any, pid: Any) -> None:
    global _shop
    _die_with_the_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent to decide
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})

    def progress(done: float) -> None:
        share.value = done

    _shop = open_workshop(site, device, progress)
    pid.value = os.getpid()


def _work(stage: Stage, slot: int) -> Outcome:
    if _shop is None:
        raise RuntimeError("the worker was not initialised")
    return work(stage, _shop, slot)


def _die_with_the_parent() -> None:
    """However the parent ends: on Linux the kernel sees to it; elsewhere, and if it has died already, a thread."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG; reaches code that never yields to a thread
    parent = multiprocessing.parent_process()

    def watch(sentinel: int) -> None:
        connection.wait([sentinel])
        os._exit(1)

    if parent is not None:
        threading.Thread(target=watch, args=(parent.sentinel,), daemon=True).start()


@contextmanager
def _interrupts_blocked() -> Iterator[None]:
    """Ctrl-C reaches every process of a terminal: a worker that is still starting would die of it."""
    resource_tracker.ensure_running()  # which unblocks them when it starts
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
