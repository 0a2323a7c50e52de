"""One long-lived Ray actor a slot, on the nodes of a cluster or in a Ray that is started here.

A worker that dies or overruns its time is replaced, elsewhere if its node is gone. A slot that has no place any more
rests until there is one; when no slot has a place, what is left fails.
"""

import os
import platform
import shutil
import signal
import time
import uuid
from collections import Counter
from contextlib import suppress
from textwrap import shorten

import ray
from ray.exceptions import RayError

from bench.engine.executor import Outcome, Site
from bench.engine.ray.actor import Order
from bench.engine.ray.nodes import Place, described, places
from bench.engine.ray.session import Session, alive
from bench.engine.ray.slot import Seat
from bench.errors import RequestError
from bench.plan.stages import Stage, VictimStage

OPENING = 120.0  # seconds for the only worker to start: it imports torch, maybe from a slow network disk
PATIENCE = 30.0  # seconds that the first worker waits for the others before the work begins
AGAIN = 5.0  # seconds between two looks for a place
TRIES = 3  # of starting a worker in a slot, one after the other


class Cluster:
    """``workers``: None for as many as have room; no more than ``stages`` are of use. ``notes``: what a user should
    know. Raises RequestError if Ray or a node of it cannot do what is asked."""

    def __init__(
        self,
        site: Site,
        *,
        device: str = "auto",
        workers: int | None = None,
        gpu_share: float = 1.0,
        address: str | None = None,
        stages: int = 10**6,
    ) -> None:
        self._site, self._device, self._gpu_share = site, device, gpu_share
        self._plugins = tuple(file.read_bytes() for file in site.plugin_files)
        # under the name of a draft of this process: should it be killed, the next run's sweep removes it
        self._probe = site.store / "tmp" / f"{os.getpid()}-{uuid.uuid4().hex}@{platform.node()}"
        self._seats: list[Seat] = []
        self._ended: list[Outcome] = []
        self._session = Session(address, device, (workers or 1) * site.threads)
        try:
            self._probe.mkdir(parents=True)
            self._seats = [Seat(place) for place in self._dealt(workers, stages)]
            self.slots = len(self._seats)
            self.devices = [f"slot {slot}" for slot in range(self.slots)]
            self.notes = self._open_all()
        except BaseException:
            self.close()
            raise

    def ready(self, slot: int) -> bool:
        """Whether a stage can be started: there is a worker, or will never be one again, and the stage fails."""
        self._tend(slot)
        return self._seats[slot].idle or self._lost

    def start(self, slot: int, stage: Stage) -> None:
        if self._lost:
            reason = f"no worker is left: {self._seats[slot].problem or 'their nodes are gone'}"
            self._ended.append(Outcome(slot, stage, "failed", 0.0, reason))
        else:
            self._seats[slot].start(slot, stage)

    def wait(self, seconds: float) -> list[Outcome]:
        ended, self._ended = self._ended, []
        awaited = {seat.result: slot for slot, seat in enumerate(self._seats) if seat.result is not None}
        if ended or not awaited:
            time.sleep(0 if ended else seconds)
        else:
            try:
                ray.wait(list(awaited), num_returns=1, timeout=seconds)
            except SystemExit as error:  # SIGTERM; whatever its handler's exit status, Ray makes it 1
                raise SystemExit(128 + signal.SIGTERM) from error
            there, _ = ray.wait(list(awaited), num_returns=len(awaited), timeout=0)
            ended = [self._seats[awaited[result]].outcome(awaited[result]) for result in there]
            for slot in awaited.values():
                if (overdue := self._seats[slot].overdue(slot, self._site.timeout)) is not None:
                    ended.append(overdue)
        for outcome in ended:
            self._look_anew(outcome)
            if outcome.status in ("died", "timeout", "memory"):  # the last may be alive, and hold what it has taken
                self._replace(outcome.slot)
        for slot in range(self.slots):
            self._tend(slot)
        return ended

    def share(self, slot: int) -> float:
        try:
            return self._seats[slot].look()
        except RayError:
            self._replace(slot)
            return 0.0

    def close(self) -> None:
        try:
            for seat in self._seats:
                seat.kill()
        finally:
            shutil.rmtree(self._probe, ignore_errors=True)
            self._session.leave()

    def _look_anew(self, outcome: Outcome) -> None:
        """List the folders that a stage has appeared in: a network disk remembers for a while what was not there."""
        room = "victims" if isinstance(outcome.stage, VictimStage) else "cells"
        for folder in (self._site.store / room, self._site.store / room / outcome.stage.key[:2]):
            with suppress(OSError):
                list(folder.iterdir())

    # --- workers and their places --------------------------------------------------------------------

    @property
    def _lost(self) -> bool:
        return all(seat.place is None for seat in self._seats)

    def _dealt(self, workers: int | None, stages: int) -> list[Place]:
        nodes = alive()
        room = places(nodes, self._device, self._site.threads, self._gpu_share)
        if workers is not None and workers > len(room):
            raise RequestError(f"--workers {workers}: there is room for {len(room)} on {described(nodes)}")
        return room[: min(workers or len(room), stages)]

    def _open_all(self) -> list[str]:
        """Start all workers and wait for them, though not long for the last: others may use the cluster, too."""
        for seat in self._seats:
            if seat.place is not None:
                seat.engage(self._order(seat.place), seat.place)
        first: float | None = None
        while any(seat.opening for seat in self._seats):
            time.sleep(0.02)
            for slot, seat in enumerate(self._seats):
                self._tend(slot)
                if seat.place is None and (seat.failures >= TRIES or self._lost):
                    raise RequestError(f"--executor ray: {seat.problem}")
            if first is None and any(seat.idle for seat in self._seats):
                first = time.monotonic()
            if first is not None and time.monotonic() - first > PATIENCE:
                break
        late = sum(seat.opening for seat in self._seats)
        hosts = Counter(seat.place.node.name for seat in self._seats if seat.place is not None)
        notes = ["workers: " + ", ".join(f"{count} on {name}" for name, count in hosts.items())]
        if late:
            notes.append(f"{late} of them are not there yet, such as when others use the cluster; they join later")
        pairs = zip(self._seats, self.devices, strict=True)
        if any(
            seat.idle and seat.place is not None and seat.place.gpu and name.endswith("cpu") for seat, name in pairs
        ):
            notes.append("Ray counts GPUs that torch cannot use; the workers that have them compute on the CPU")
        return notes

    def _tend(self, slot: int) -> None:
        """See to a slot whose worker is starting, or which has none."""
        seat = self._seats[slot]
        if seat.place is None:
            if not self._lost and seat.failures < TRIES and time.monotonic() - seat.since > AGAIN:
                self._replace(slot)
        elif seat.opening:
            try:
                opened = seat.opened()
            except RayError as error:
                self._failed(slot, f"a worker could not be started: {shorten(str(error), 300)}")
                return
            if opened is not None and opened.problem is not None:
                seat.failures = TRIES
                self._failed(slot, opened.problem)
            elif opened is not None:
                seat.failures = 0
                self.devices[slot] = f"{seat.place.node.name} {opened.device}"
            elif time.monotonic() - seat.since > OPENING and not any(other.open for other in self._seats):
                seat.failures = TRIES
                self._failed(slot, f"a worker was not there within {OPENING:g} s")

    def _failed(self, slot: int, problem: str) -> None:
        seat = self._seats[slot]
        if seat.place is not None:
            seat.problem = f"node {seat.place.node.name}: {problem}"
        seat.failures += 1
        self._replace(slot)

    def _replace(self, slot: int) -> None:
        """Start a worker where the last one was, or where there is room; if there is none the slot has no place."""
        seat = self._seats[slot]
        seat.kill()
        before, seat.place, seat.since = seat.place, None, time.monotonic()
        if seat.failures < TRIES:
            free = self._free()
            place = before if before in free else next(iter(free), None)
            if place is not None:
                seat.engage(self._order(place), place)

    def _free(self) -> list[Place]:
        try:
            room = places(alive(), self._device, self._site.threads, self._gpu_share)
        except RequestError:
            return []
        return list((Counter(room) - Counter(seat.place for seat in self._seats if seat.place)).elements())

    def _order(self, place: Place) -> Order:
        return Order(self._site, self._plugins, self._probe.name, self._device, place.gpu > 0)
