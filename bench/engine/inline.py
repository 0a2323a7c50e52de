"""Runs stages in this process, one after the other: for debugging and tests.

It cannot enforce a timeout, and it does not end what a plugin leaves running. What a stage leaves changed in the
process is put back as far as that is possible. What a plugin prints goes to the standard error output at once, so that
the standard output has the run's table alone and ``breakpoint()`` works as ever; only what C code prints is not caught.
"""

import random
from dataclasses import replace

import numpy as np
import torch

from bench.engine import printed
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
        states = torch.get_rng_state(), random.getstate(), np.random.get_state()  # noqa: NPY002
        try:
            with printed.to_stderr():
                outcome = work(stage, self._workshop, slot, restoring=True)
        finally:
            torch.set_rng_state(states[0])
            random.setstate(states[1])
            np.random.set_state(states[2])  # noqa: NPY002
        self._ended.append(replace(outcome, remedy="put back as far as possible"))

    def wait(self, seconds: float) -> list[Outcome]:
        ended, self._ended = self._ended, []
        return ended

    def progress(self, slot: int) -> float:
        return 0.0

    def printed(self, slot: int) -> tuple[str, ...]:
        return ()  # it is seen already

    def close(self) -> None:
        torch.set_num_threads(self._threads_before)
        set_deterministic(self._deterministic_before)
