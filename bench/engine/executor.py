"""Where and when stages run. An executor knows nothing of what they do.

An executor has ``slots``, numbered from 0, each for one stage at a time. ``start`` hands a stage to a free slot;
``wait`` returns what has ended since. ``devices`` names each slot's device: slots of one name share it, and a stage
that ran out of memory is tried again while the others of its device rest.

An outcome's status says what became of a stage; the scheduler decides what follows:

    done, failed      over; what a plugin raises is a failure, and is not tried again
    died, timeout     the worker is gone, and the executor has replaced it: tried once more
    memory            out of memory, or killed as if it were: tried once more, alone on its device
    busy              another process, which the reason names, is computing it: looked at again later
    damaged           a stage of the store that it needs is damaged or gone: that one is made again first

``bench.engine.worker.work`` tells done, failed, memory, busy and damaged apart. The executor itself tells died and
timeout, and memory where a worker is killed for it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from bench.engine.options import RunOptions
from bench.plan.plugin_files import PluginFile
from bench.plan.stages import Stage

Status = Literal["done", "failed", "timeout", "died", "memory", "busy", "damaged"]


@dataclass(frozen=True)
class Outcome:
    """How a stage ended.

    ``seconds``: what the stage itself took. ``reason``: of anything but done, in one line. ``traceback``: the whole
    text of a failure. ``damaged``: section and key of the stage that has to be made again. ``log``: what its plugin
    logged. ``printed``: what it printed and was not told while it ran, in lines that go on after the stage's title.
    ``changed``: what the stage left changed in its process, in words that go on after "left"; ``remedy``: what the
    executor did about it. ``measured``: what was measured of a stage that is done, by the name of a record's column.
    """

    slot: int
    stage: Stage
    status: Status
    seconds: float
    reason: str | None = None
    traceback: str | None = None
    damaged: tuple[str, str] | None = None
    log: tuple[str, ...] = ()
    printed: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    remedy: str = ""
    measured: Mapping[str, Any] = field(default_factory=dict, compare=False)


@dataclass(frozen=True)
class WorkerSettings:
    """What every worker is told once: where things lie, how to run, and the command line that its records name."""

    store: Path
    data: Path
    plugin_files: tuple[PluginFile, ...]
    options: RunOptions = field(default_factory=RunOptions)
    command: str = ""


class Executor(Protocol):
    """Runs stages in slots; see the text above."""

    slots: int
    devices: list[str]

    def ready(self, slot: int) -> bool:
        """Whether a slot without a stage can be given one now: in a cluster its worker may have to be replaced."""

    def start(self, slot: int, stage: Stage) -> None:
        """Run ``stage`` in a free slot."""

    def wait(self, seconds: float) -> list[Outcome]:
        """What has ended; waits at most ``seconds`` for the first."""

    def progress(self, slot: int) -> float:
        """How much of a slot's stage is done, in [0, 1]."""

    def printed(self, slot: int) -> tuple[str, ...]:
        """Lines that a slot's stage has printed since the last time, as far as they are told while it runs."""

    def close(self) -> None:
        """Stop the workers; the stages that they are computing are lost."""
