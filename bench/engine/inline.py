"""Runs stages in this process, one after the other: for debugging and tests. It cannot enforce a timeout."""

import torch

from bench.engine.devices import set_deterministic
from bench.engine.executor import Outcome, WorkerSettings
from bench.engine.worker import open_workshop, work
from bench.plan.stages import Stage


class Inline:
    """One slot; ``start`` returns when the stage has ended."""

    slots = 1

    def __init__(self, settings: WorkerSettings, devices: list[str]) -> None:
        self.devices = devices[:1]
        self._threads_before = torch.get_num_threads()
        self._deterministic_before = torch.are_deterministic_algorithms_enabled()
        self._workshop = open_workshop(settings, devices[0], lambda done: None)
        self._ended: list[Outcome] = []

    def ready(self, slot: int) -> bool:
        return True

    def start(self, slot: int, stage: Stage) -> None:
        self._ended.append(work(stage, self._workshop, slot))

    def wait(self, seconds: float) -> list[Outcome]:
        ended, self._ended = self._ended, []
        return ended

    def progress(self, slot: int) -> float:
        return 0.0

    def close(self) -> None:
        torch.set_num_threads(self._threads_before)
        set_deterministic(self._deterministic_before)
