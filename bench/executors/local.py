"""One long-lived worker process a slot. A crash, an exception or a timeout fails only the stage that it met."""

import multiprocessing
import signal
import time
from concurrent.futures import FIRST_COMPLETED, Future, TimeoutError, wait
from multiprocessing.sharedctypes import Synchronized

from pebble import ProcessExpired, ProcessPool

from bench.executors import Outcome, Site
from bench.executors.work import open_workshop, work
from bench.plan import Stage
from bench.stages import Workshop

_shop: Workshop | None = None  # of this worker process


class Local:
    """A pool of one process for each slot, so that a stage can be sent to the worker that knows its victim."""

    def __init__(self, site: Site, devices: list[str]) -> None:
        spawn = multiprocessing.get_context("spawn")  # the only way that is safe with CUDA and threads
        self.slots = len(devices)
        self.devices = devices
        self._timeout = site.timeout
        self._shares = [spawn.Value("d", 0.0) for _ in devices]
        self._pools = [
            ProcessPool(max_workers=1, context=spawn, initializer=_begin, initargs=(site, device, share))
            for device, share in zip(devices, self._shares, strict=True)
        ]
        self._running: dict[Future[Outcome], tuple[int, Stage, float]] = {}

    def ready(self, slot: int) -> bool:
        return True

    def start(self, slot: int, stage: Stage) -> None:
        future = self._pools[slot].schedule(_work, args=(stage, slot), timeout=self._timeout)
        self._running[future] = slot, stage, time.perf_counter()

    def wait(self, seconds: float) -> list[Outcome]:
        ended, _ = wait(self._running, timeout=seconds, return_when=FIRST_COMPLETED)
        return [self._outcome(future, *self._running.pop(future)) for future in ended]

    def share(self, slot: int) -> float:
        return float(self._shares[slot].value)

    def close(self) -> None:
        for pool in self._pools:
            pool.stop()  # type: ignore[no-untyped-call]
        for pool in self._pools:
            pool.join()

    def _outcome(self, future: "Future[Outcome]", slot: int, stage: Stage, began: float) -> Outcome:
        seconds = time.perf_counter() - began
        try:
            return future.result()
        except TimeoutError:
            return Outcome(slot, stage, "timeout", seconds, f"stopped after the timeout of {self._timeout:g} s")
        except ProcessExpired as error:
            return Outcome(slot, stage, "failed", seconds, f"the worker died ({_death(error.exitcode)})")
        except Exception as error:  # such as an outcome that could not be sent
            return Outcome(slot, stage, "failed", seconds, f"{type(error).__name__}: {error}")


def _begin(site: Site, device: str, share: "Synchronized[float]") -> None:
    global _shop
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent to decide

    def progress(done: float) -> None:
        share.value = done

    _shop = open_workshop(site, device, progress)


def _work(stage: Stage, slot: int) -> Outcome:
    if _shop is None:
        raise RuntimeError("the worker was not initialised")
    return work(stage, _shop, slot)


def _death(exitcode: int | None) -> str:
    if exitcode is not None and exitcode < 0:
        return f"signal {signal.Signals(-exitcode).name}"
    return f"exit code {exitcode}"
