"""Which devices there are, and how many workers each gets."""

import os
from typing import TYPE_CHECKING

from bench.errors import RequestError

if TYPE_CHECKING:
    import torch


def slots(device: str, workers: int | None, threads: int, gpu_share: float = 1.0) -> list[str]:
    """The device of every worker. ``device``: auto, cpu, cuda, or GPUs by number such as cuda:0,1.

    Unless ``workers`` says how many: on GPUs as many as fit if each needs ``gpu_share`` of a GPU, on the CPU as many as
    there are cores for ``threads`` each. Neighbours in the list are on different devices. Raises RequestError for a
    device that is not there.
    """
    names = _names(device)
    if workers is None:
        workers = max(1, cores() // threads) if names == ["cpu"] else len(names) * workers_on_a_gpu(gpu_share)
    return [names[slot % len(names)] for slot in range(workers)]


def workers_on_a_gpu(gpu_share: float) -> int:
    """How many workers fit on a GPU if each needs ``gpu_share`` of it."""
    return int(1 / gpu_share + 1e-6)  # three of a third each, though 1/3 is rounded


def set_deterministic(wanted: bool) -> None:
    """Set, for this process, whether torch may only use algorithms that give the same bits every time.

    If so, an operation without such an algorithm raises RuntimeError. If not, the fastest convolutions are found by
    trying them on the GPU.
    """
    import torch

    if wanted:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when cuBLAS is first used
    now = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    if now != (wanted, False):  # the call loads torch's compiler, which takes more than a second
        torch.use_deterministic_algorithms(wanted)
    torch.backends.cudnn.benchmark = not wanted


def cores() -> int:
    """How many processor cores this process may use, by its CPU affinity and by the quota of its cgroup.

    A container often sees all cores of its machine and may use only a few of them: its quota says so.
    """
    from joblib import cpu_count  # type: ignore[import-untyped]  # late: it takes a tenth of a second

    return int(cpu_count())


def full_name(device: "torch.device") -> str:
    """A device as a person would call it: the GPU's name, or the kind of processor and the precision it computes in.

    Processors of one name compute in bf16 or not, by their generation. Seconds differ by a factor with it, and figures
    in the last digits.
    """
    import torch

    from bench.toolbox.precision import has_bf16

    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    kind = torch.cpu.get_capabilities().get("cpu_name", "unknown")
    return f"cpu ({kind}, {'bf16' if has_bf16(device) else 'float32'})"


def _names(device: str) -> list[str]:
    import torch

    gpus = [f"cuda:{number}" for number in range(torch.cuda.device_count() if torch.cuda.is_available() else 0)]
    if device == "auto":
        return gpus or ["cpu"]
    if device == "cpu":
        return ["cpu"]
    if device == "cuda" and gpus:
        return gpus
    wanted = [f"cuda:{number.strip()}" for number in device.removeprefix("cuda:").split(",")]
    if device.startswith("cuda:") and all(name in gpus for name in wanted):
        return wanted
    raise RequestError(f"--device {device}: not there; there are {', '.join(['auto', 'cpu', *gpus])}")
