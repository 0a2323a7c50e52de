"""What a piece of work costs: seconds, and the memory that it added."""

import math
import time
from pathlib import Path
from typing import Self

import torch


class Meter:
    """Measures what runs inside its ``with``: ``seconds``, and ``peak_mb``, the MiB of memory that it added at most.

    What was there when it began does not count. On a GPU this is the memory of tensors, on a CPU the resident memory of
    the process, with what of libraries and mapped files was first touched meanwhile. NaN where the system does not
    measure the peak of a part of a process: only Linux does, unless a sandbox forbids it.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.seconds = self.peak_mb = 0.0

    def __enter__(self) -> Self:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
            torch.cuda.reset_peak_memory_stats(self.device)
            self._before = torch.cuda.memory_allocated(self.device) / 2**20
        else:
            self._before = _resident("VmRSS:") if _reset_peak() else math.nan
        self._start = time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        self.seconds = time.perf_counter() - self._start  # before the peak is read, which takes a while itself
        if self.device.type == "cuda":
            peak = torch.cuda.max_memory_allocated(self.device) / 2**20
        else:
            peak = _resident("VmHWM:")
        self.peak_mb = max(peak - self._before, 0.0)  # NaN, which comes first, stays NaN


def _reset_peak() -> bool:
    """Let the peak of the resident memory begin anew. Whether the system did."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return False
    return True


def _resident(field: str) -> float:
    """This process's resident memory in MiB: VmRSS as it is, VmHWM at its peak. NaN where the system does not say."""
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return math.nan
    return float(status.partition(field)[2].split()[0]) / 2**10
