"""Where and when stages run. An executor knows nothing of what they do.

An executor has ``slots``, numbered from 0, each for one stage at a time. ``start`` hands a stage to a free slot;
``wait`` gives back what has ended since.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from bench.plan import Stage


@dataclass(frozen=True)
class Outcome:
    """How a stage ended. ``reason`` is one line and ``traceback`` the whole story of a failure."""

    slot: int
    stage: Stage
    status: Literal["done", "failed", "timeout"]
    seconds: float
    reason: str | None = None
    traceback: str | None = None


@dataclass(frozen=True)
class Site:
    """What every worker is told once: where the store, the data and the one-file plugins lie, its threads, and the
    command line that its records name.
    """

    store: Path
    data: Path
    plugin_files: tuple[Path, ...]
    threads: int
    timeout: float | None = None
    command: str = ""


class Executor(Protocol):
    slots: int
    devices: list[str]

    def start(self, slot: int, stage: Stage) -> None:
        """Run ``stage`` in a free slot."""

    def wait(self, seconds: float) -> list[Outcome]:
        """What has ended, waiting at most ``seconds`` for the first."""

    def share(self, slot: int) -> float:
        """How much of a slot's stage is done, in [0, 1]."""

    def close(self) -> None:
        """Stop the workers; stages in flight are lost."""
