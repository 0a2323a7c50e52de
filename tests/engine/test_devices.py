"""How many workers there are, and on which devices."""

import io
import os

import pytest
import torch
from joblib.externals.loky.backend import context as joblib_context
from torch import nn

from bench.engine import devices
from bench.errors import RequestError
from bench.toolbox.inference import precision_on
from bench.toolbox.training import autocast

QUOTA_FILE = "/sys/fs/cgroup/cpu.max"


@pytest.fixture
def machine_of_64_cores(monkeypatch):
    """Sets the two limits of this process: the cores that it may run on, and the cgroup's quota as Linux writes it."""

    def limit(affinity: int, quota: str) -> None:
        monkeypatch.setattr(os, "cpu_count", lambda: 64)
        monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(affinity)), raising=False)
        monkeypatch.setattr(os.path, "exists", lambda path: path == QUOTA_FILE)
        monkeypatch.setattr(joblib_context, "open", lambda path: io.StringIO(quota), raising=False)
        monkeypatch.delenv("LOKY_MAX_CPU_COUNT", raising=False)

    return limit


@pytest.mark.parametrize(
    ("affinity", "quota", "expected"),
    [
        (64, "200000 100000\n", 2),
        (64, "250000 100000\n", 3),  # the third worker has half a core
        (4, "800000 100000\n", 4),
        (64, "max 100000\n", 64),
    ],
)
def test_workers_on_the_cpu_respect_affinity_and_the_quota_of_the_container(
    machine_of_64_cores, affinity, quota, expected
):
    machine_of_64_cores(affinity, quota)
    assert devices.cores() == expected
    assert devices.slots("cpu", None, 1) == ["cpu"] * expected
    assert len(devices.slots("cpu", None, 2)) == max(1, expected // 2)


@pytest.mark.parametrize(
    ("now", "wanted", "asked"),
    [
        ((False, False), False, []),
        ((True, False), True, []),
        ((False, False), True, [True]),
        ((True, False), False, [False]),
        ((True, True), True, [True]),  # it would only have warned
        ((False, True), False, [False]),
    ],
)
def test_torch_is_told_which_algorithms_it_may_use_only_where_that_is_new(monkeypatch, now, wanted, asked):
    """To be told makes it load its compiler."""
    told = []
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", "as it is")
    monkeypatch.setattr("torch.backends.cudnn.benchmark", False)
    monkeypatch.setattr("torch.are_deterministic_algorithms_enabled", lambda: now[0])
    monkeypatch.setattr("torch.is_deterministic_algorithms_warn_only_enabled", lambda: now[1])
    monkeypatch.setattr("torch.use_deterministic_algorithms", told.append)
    devices.set_deterministic(wanted)
    assert told == asked
    assert torch.backends.cudnn.benchmark == (not wanted)


def test_gpus_are_shared_as_declared(monkeypatch):
    monkeypatch.setattr(devices, "_names", lambda device: ["cuda:0", "cuda:1"])
    assert devices.slots("cuda", None, 1) == ["cuda:0", "cuda:1"]
    assert devices.slots("cuda", None, 1, 0.5) == ["cuda:0", "cuda:1"] * 2
    assert devices.slots("cuda", None, 1, 0.4) == ["cuda:0", "cuda:1"] * 2
    assert devices.slots("cuda", None, 1, 1 / 3) == ["cuda:0", "cuda:1"] * 3
    assert devices.slots("cuda", 3, 1, 0.5) == ["cuda:0", "cuda:1", "cuda:0"]


def test_a_device_that_is_not_there_is_named_with_those_that_are(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(RequestError, match=r"--device cuda:3: not there; there are auto, cpu$"):
        devices.slots("cuda:3", None, 1)


@pytest.mark.parametrize(("capable", "named", "used"), [(True, "bf16", "bfloat16"), (False, "float32", "float32")])
def test_the_name_of_a_processor_says_in_which_precision_networks_compute_on_it(
    capable: bool, named: str, used: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of two processors of one name one may have bf16: seconds, and the last digits of figures, differ."""
    cpu = torch.device("cpu")
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"cpu_name": "AMD EPYC", "avx512_bf16": capable})
    assert devices.full_name(cpu) == f"cpu (AMD EPYC, {named})"
    assert precision_on(cpu) == used
    with autocast(cpu):
        assert str(nn.Linear(2, 2)(torch.ones(1, 2)).dtype) == f"torch.{used}"
