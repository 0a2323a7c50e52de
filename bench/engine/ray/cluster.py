"""The executor on a Ray cluster: one long-lived actor for each slot, in a Ray that is joined or started here.

A worker that dies or exceeds its time is replaced, elsewhere if its node is gone. A slot for which there is no room any
more waits until there is; when there is room for none, what is left fails.
"""

import shutil
import time
from contextlib import suppress

import ray
from ray.exceptions import RayError

from bench.engine.executor import Outcome, WorkerSettings
from bench.engine.ray.session import Session
from bench.engine.ray.workers import Workers
from bench.plan.stages import Stage
from bench.store import drafts


class Cluster:
    """An executor; see ``bench.engine.executor``.

    ``workers``: None for as many as there is room for; no more than ``stages`` are of use. ``address``: of the Ray
    cluster to join; None to start one here. ``notes``: what the user should know. Raises RequestError if Ray or one of
    its nodes cannot do what is asked.
    """

    def __init__(
        self,
        settings: WorkerSettings,
        *,
        device: str = "auto",
        workers: int | None = None,
        gpu_share: float = 1.0,
        address: str | None = None,
        stages: int = 10**6,
    ) -> None:
        self._settings = settings
        self._probe = drafts.new(settings.store)  # if this process is killed, the next run's sweep removes it
        self._workers = Workers(settings, self._probe.name, device, gpu_share)
        self._ended: list[Outcome] = []
        self._session = Session(address, device, (workers or 1) * settings.options.threads)
        try:
            self._probe.mkdir(parents=True)
            self._workers.reserve(workers, stages)
            self.slots, self.devices = len(self._workers.slots), self._workers.devices
            self.notes = self._workers.open_all()
        except BaseException:
            self.close()
            raise

    def ready(self, slot: int) -> bool:
        """Whether a stage can be started: there is a worker, or will never be one again, and the stage fails."""
        self._workers.tend(slot)
        return self._workers.slots[slot].idle or self._workers.all_lost

    def start(self, slot: int, stage: Stage) -> None:
        if self._workers.all_lost:
            reason = f"no worker is left: {self._workers.slots[slot].problem or 'their nodes are gone'}"
            self._ended.append(Outcome(slot, stage, "failed", 0.0, reason))
        else:
            self._workers.slots[slot].start(slot, stage)

    def wait(self, seconds: float) -> list[Outcome]:
        ended, self._ended = self._ended, []
        slots = self._workers.slots
        awaited = {slot.result: number for number, slot in enumerate(slots) if slot.result is not None}
        if ended or not awaited:
            time.sleep(0 if ended else seconds)
        else:
            ray.wait(list(awaited), num_returns=1, timeout=seconds)
            arrived, _ = ray.wait(list(awaited), num_returns=len(awaited), timeout=0)
            ended = [slots[awaited[result]].outcome(awaited[result]) for result in arrived]
            for number in awaited.values():
                if (overdue := slots[number].overdue(number, self._settings.options.timeout)) is not None:
                    ended.append(overdue)
        for outcome in ended:
            self._refresh_listing(outcome)
            lost = outcome.status in (
                "died",
                "timeout",
                "memory",
            )  # after memory it may be alive, and hold what it took
            if lost or outcome.changed:
                self._workers.replace(outcome.slot)
        for number in range(self.slots):
            self._workers.tend(number)
        return ended

    def progress(self, slot: int) -> float:
        try:
            return self._workers.slots[slot].look()
        except RayError:
            self._workers.replace(slot)
            return 0.0

    def printed(self, slot: int) -> tuple[str, ...]:
        return ()  # Ray brings it to the driver, as far as it does

    def close(self) -> None:
        try:
            self._workers.kill()
        finally:
            shutil.rmtree(self._probe, ignore_errors=True)
            self._session.leave()

    def _refresh_listing(self, outcome: Outcome) -> None:
        """List the folders in which a stage has appeared: a network disk remembers for a while what was not there."""
        section = self._settings.store / outcome.stage.section
        for folder in (section, section / outcome.stage.key[:2]):
            with suppress(OSError):
                list(folder.iterdir())
