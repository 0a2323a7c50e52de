"""What a piece of work costs is what it added, not what the process had before."""

import ctypes
import math
import sys

import numpy as np
import pytest
import torch

from bench.cell import meter
from bench.cell.meter import Meter

CPU = torch.device("cpu")
linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux measures the peak of a part")


def filled(mebibytes: int) -> np.ndarray:
    return np.ones(mebibytes * 2**20, np.uint8)


def give_back() -> None:
    """Return all free memory to the system, so that what is filled next is new whatever ran in this process before."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # of glibc
    if trim is not None:
        trim(0)


@linux
@pytest.mark.parametrize("held", [0, 300])
def test_the_peak_is_what_was_added_whatever_was_held_before(held):
    before = filled(held)
    filled(200)  # and whatever the peak was
    give_back()
    with Meter(CPU) as measured:
        filled(60)  # freed at once: it counts nevertheless
        kept = filled(20)
    assert 55 < measured.peak_mb < 90
    with Meter(CPU) as idle:
        pass
    assert 0 <= idle.peak_mb < 5
    assert len(before) + len(kept) == (held + 20) * 2**20


@linux
def test_work_that_frees_memory_added_nothing():
    before = [filled(100)]
    with Meter(CPU) as measured:
        before.clear()
    assert 0 <= measured.peak_mb < 5


@pytest.mark.parametrize("missing", ["_reset_peak", "_resident"])
def test_where_the_system_does_not_say_the_peak_is_unknown(monkeypatch, missing):
    monkeypatch.setattr(meter, missing, lambda *_: False if missing == "_reset_peak" else math.nan)
    with Meter(CPU) as measured:
        filled(5)
    assert math.isnan(measured.peak_mb)
    assert measured.seconds > 0


def test_on_a_gpu_the_memory_of_tensors_that_were_there_does_not_count(monkeypatch):
    state = {"now": 500, "peak": 900}
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: None)
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda device: state.update(peak=state["now"]))
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: state["now"] * 2**20)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: state["peak"] * 2**20)
    with Meter(torch.device("cuda")) as measured:
        state.update(now=520, peak=530)
    assert measured.peak_mb == 30
