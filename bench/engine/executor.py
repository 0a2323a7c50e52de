"""Where and when stages run. An executor knows nothing of what they do.

An executor has ``slots``, numbered from 0, each for one stage at a time. ``start`` hands a stage to a free slot;
``wait`` gives back what has ended since. ``devices`` names each slot's device: slots of one name share it, and a stage
that ran out of memory is tried again while the others of its device rest.

What became of a stage is said by its outcome's status; the scheduler decides what follows:

    done, failed      over; what a plugin raises fails, and is not tried again
    died, timeout     the worker is gone, and the executor has another in its place: tried once more
    memory            out of memory, or killed as if: tried once more, alone on its device
    busy              another process is computing it: looked at again later
    damaged           a stage of the store that it needs is not what was written, or gone: made again first

``bench.executors.work`` tells done, failed, memory, busy and damaged apart; died and timeout (and memory, where a
worker is killed for it) are the executor's to tell.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from bench.plan.stages import Stage

Status = Literal["done", "failed", "timeout", "died", "memory", "busy", "damaged"]


@dataclass(frozen=True)
class Outcome:
    """How a stage ended. ``reason`` is one line and ``traceback`` the whole story of a failure.

    ``seconds`` is what the stage itself took. ``damaged``: room and key of what has to be made again.
    """

    slot: int
    stage: Stage
    status: Status
    seconds: float
    reason: str | None = None
    traceback: str | None = None
    damaged: tuple[str, str] | None = None


@dataclass(frozen=True)
class Site:
    """What every worker is told once: where the store, the data and the one-file plugins lie, its threads, the
    command line that its records name, and how exact or fast it is to compute.
    """

    store: Path
    data: Path
    plugin_files: tuple[Path, ...]
    threads: int
    timeout: float | None = None
    command: str = ""
    deterministic: bool = False
    compiled: bool = False


class Executor(Protocol):
    slots: int
    devices: list[str]

    def ready(self, slot: int) -> bool:
        """Whether a slot without a stage can be given one now: in a cluster its worker may have to be replaced."""

    def start(self, slot: int, stage: Stage) -> None:
        """Run ``stage`` in a free slot."""

    def wait(self, seconds: float) -> list[Outcome]:
        """What has ended, waiting at most ``seconds`` for the first."""

    def share(self, slot: int) -> float:
        """How much of a slot's stage is done, in [0, 1]."""

    def close(self) -> None:
        """Stop the workers; stages in flight are lost."""
