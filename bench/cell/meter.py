"""What a piece of work costs: seconds and peak memory."""

import resource
import time
from pathlib import Path
from typing import Self

import torch


class Meter:
    """Measures what runs inside its ``with``: ``seconds``, and ``peak_mb``, the peak memory in MiB.

    On a GPU this is the memory that tensors took. On a CPU it is the resident memory of the process, interpreter and
    libraries included. Where the system cannot reset that peak, it is the peak since the process began.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.seconds = self.peak_mb = 0.0

    def __enter__(self) -> Self:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
            torch.cuda.reset_peak_memory_stats(self.device)
        else:
            _reset_peak()
        self._start = time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
            self.peak_mb = torch.cuda.max_memory_allocated(self.device) / 2**20
        else:
            self.peak_mb = _peak_mb()
        self.seconds = time.perf_counter() - self._start


def _reset_peak() -> None:
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return


def _peak_mb() -> float:
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    return float(status.partition("VmHWM:")[2].split()[0]) / 2**10
