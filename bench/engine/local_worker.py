"""What runs in a worker process of the local executor."""

import faulthandler
import multiprocessing
import os
import signal
import threading
from multiprocessing import connection
from types import FrameType
from typing import Any

from bench.cell.apart import kernel
from bench.cell.workshop import Workshop
from bench.engine import printed, process_group
from bench.engine.executor import Outcome, WorkerSettings
from bench.engine.printed import Spool
from bench.engine.worker import open_workshop, work
from bench.plan.stages import Stage

_workshop: Workshop | None = None  # of this process
_spool: Spool | None = None
_stages: Any = None  # how many have begun here


def begin(settings: WorkerSettings, device: str, progress: Any, pid: Any, spool: Spool, stages: Any) -> None:
    """Prepare this process for stages. The parent reads ``spool`` and the shared numbers.

    These are ``progress``, ``pid``, and ``stages``: how many have begun.
    """
    global _workshop, _spool, _stages
    _spool, _stages = spool, stages
    spool.take_over()
    faulthandler.enable(2)  # where it is when it crashes
    _die_with_the_parent()
    process_group.lead()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent to decide
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    signal.signal(signal.SIGTERM, _terminated)

    def note(done: float) -> None:
        progress.value = done

    _workshop = open_workshop(settings, device, note)
    pid.value = os.getpid()


def run(stage: Stage, slot: int) -> Outcome:
    """How the stage ended; see ``bench.engine.worker.work``. Nothing that it started is left."""
    if _workshop is None or _spool is None:
        raise RuntimeError("the worker was not initialised")
    _spool.take()  # what was printed while plugins were imported the run itself has shown
    _stages.value += 1
    outcome = work(stage, _workshop, slot)
    printed.flush()
    return outcome


def _terminated(number: int, _: FrameType | None) -> None:
    """The stage has run too long."""
    process_group.end_others()
    os._exit(128 + number)


def _die_with_the_parent() -> None:
    """End this process when its parent ends, however that happens.

    On Linux the kernel does it, even to code that never lets another thread run. A thread does it elsewhere, and where
    the parent has died already.
    """
    kernel.signal_with_the_parent(signal.SIGKILL)
    parent = multiprocessing.parent_process()

    def watch(sentinel: int) -> None:
        connection.wait([sentinel])
        os._exit(1)

    if parent is not None:
        threading.Thread(target=watch, args=(parent.sentinel,), daemon=True).start()
