"""The workers of a cluster: where each is, and what replaces one that has died.

A worker is replaced in its slot, on another node if its own is gone. A slot for which no node has room has no
reservation, and waits for one.
"""

import time
from collections import Counter
from textwrap import shorten

from ray.exceptions import RayError

from bench.engine.executor import WorkerSettings
from bench.engine.ray.actor import RayOrder
from bench.engine.ray.nodes import Reservation, described, reservations
from bench.engine.ray.session import alive_nodes
from bench.engine.ray.slot import Slot
from bench.errors import RequestError

OPENING = 120.0  # seconds in which the only worker has to start: it imports torch, maybe from a slow network disk
PATIENCE = 30.0  # seconds that the first worker waits for the others before the run begins
AGAIN = 5.0  # seconds between two looks for a reservation
TRIES = 3  # of starting a worker in a slot, one after the other


class Workers:
    """A worker for each of ``slots``, which are made by ``reserve``; the workers are started by ``open_all``.

    ``probe``: the name of a file in ``tmp/`` that only this process's own store has. ``device``: auto, cpu or cuda.
    ``devices``: the node and device of each slot, once its worker has said so.
    """

    def __init__(self, settings: WorkerSettings, probe: str, device: str, gpu_share: float) -> None:
        self._settings, self._probe, self._device, self._gpu_share = settings, probe, device, gpu_share
        self.slots: list[Slot] = []
        self.devices: list[str] = []

    def reserve(self, count: int | None, most: int) -> None:
        """Make a slot for each of ``count`` workers: None for as many as there is room for, and never over ``most``.

        Raises RequestError if the nodes do not have that much room.
        """
        nodes = alive_nodes()
        possible = reservations(nodes, self._device, self._settings.options.threads, self._gpu_share)
        if count is not None and count > len(possible):
            raise RequestError(f"--workers {count}: there is room for {len(possible)} on {described(nodes)}")
        self.slots = [Slot(reservation) for reservation in possible[: min(count or len(possible), most)]]
        self.devices = [f"slot {number}" for number in range(len(self.slots))]

    @property
    def all_lost(self) -> bool:
        """Whether no slot has a reservation any more."""
        return all(slot.reservation is None for slot in self.slots)

    def open_all(self) -> list[str]:
        """Start all workers and wait for them, but not long for the last: others may use the cluster, too.

        Returns what the user should know. Raises RequestError if a slot's workers do not start.
        """
        for slot in self.slots:
            if slot.reservation is not None:
                slot.engage(self._order(slot.reservation), slot.reservation)
        first: float | None = None
        while any(slot.opening for slot in self.slots):
            time.sleep(0.02)
            for number, slot in enumerate(self.slots):
                self.tend(number)
                if slot.reservation is None and (slot.failures >= TRIES or self.all_lost):
                    raise RequestError(f"--executor ray: {slot.problem}")
            if first is None and any(slot.idle for slot in self.slots):
                first = time.monotonic()
            if first is not None and time.monotonic() - first > PATIENCE:
                break
        return self._notes()

    def tend(self, number: int) -> None:
        """See to a slot whose worker is starting, or which has none."""
        slot = self.slots[number]
        if slot.reservation is None:
            if not self.all_lost and slot.failures < TRIES and time.monotonic() - slot.since > AGAIN:
                self.replace(number)
        elif slot.opening:
            try:
                opened = slot.opened()
            except RayError as error:
                self._fail(number, f"a worker could not be started: {shorten(str(error), 300)}")
                return
            if opened is not None and opened.problem is not None:
                slot.failures = TRIES
                self._fail(number, opened.problem)
            elif opened is not None:
                slot.failures = 0
                self.devices[number] = f"{slot.reservation.node.name} {opened.device}"
            elif time.monotonic() - slot.since > OPENING and not any(other.open for other in self.slots):
                slot.failures = TRIES
                self._fail(number, f"a worker was not there within {OPENING:g} s")

    def replace(self, number: int) -> None:
        """Start a worker where the slot's last one was, else where there is room, else nowhere for now."""
        slot = self.slots[number]
        slot.kill()
        before, slot.reservation, slot.since = slot.reservation, None, time.monotonic()
        if slot.failures < TRIES:
            free = self._free()
            reservation = before if before in free else next(iter(free), None)
            if reservation is not None:
                slot.engage(self._order(reservation), reservation)

    def kill(self) -> None:
        """End all workers; the stages that they are computing are lost."""
        for slot in self.slots:
            slot.kill()

    def _notes(self) -> list[str]:
        late = sum(slot.opening for slot in self.slots)
        hosts = Counter(slot.reservation.node.name for slot in self.slots if slot.reservation is not None)
        notes = ["workers: " + ", ".join(f"{count} on {name}" for name, count in hosts.items())]
        if late:
            notes.append(f"{late} of them are not there yet, such as when others use the cluster; they join later")
        on_cpu = [slot for slot, device in zip(self.slots, self.devices, strict=True) if device.endswith("cpu")]
        if any(slot.idle and slot.reservation is not None and slot.reservation.gpu for slot in on_cpu):
            notes.append("Ray counts GPUs that torch cannot use; the workers that have them compute on the CPU")
        return notes

    def _fail(self, number: int, problem: str) -> None:
        slot = self.slots[number]
        if slot.reservation is not None:
            slot.problem = f"node {slot.reservation.node.name}: {problem}"
        slot.failures += 1
        self.replace(number)

    def _free(self) -> list[Reservation]:
        try:
            possible = reservations(alive_nodes(), self._device, self._settings.options.threads, self._gpu_share)
        except RequestError:
            return []
        taken = Counter(slot.reservation for slot in self.slots if slot.reservation)
        return list((Counter(possible) - taken).elements())

    def _order(self, reservation: Reservation) -> RayOrder:
        return RayOrder(self._settings, self._probe, self._device, reservation.gpu > 0)
