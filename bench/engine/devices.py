"""Which devices there are, and how many workers each gets."""

import os

from bench.errors import RequestError


def slots(device: str, workers: int | None, threads: int, gpu_share: float = 1.0) -> list[str]:
    """The device of every worker. ``device``: auto, cpu, cuda, or GPUs by number such as cuda:0,1.

    Unless ``workers`` says how many: on GPUs as many as fit if each needs ``gpu_share`` of a GPU, on the CPU as many as
    there are cores for ``threads`` each. Neighbours in the list are on different devices. Raises RequestError for a
    device that is not there and for numbers out of range.
    """
    check_numbers(workers, threads, gpu_share)
    names = _names(device)
    if workers is None:
        workers = max(1, cores() // threads) if names == ["cpu"] else len(names) * workers_on_a_gpu(gpu_share)
    return [names[slot % len(names)] for slot in range(workers)]


def check_numbers(workers: int | None, threads: int, gpu_share: float) -> None:
    """Raises RequestError for a number out of range."""
    if workers is not None and workers < 1:
        raise RequestError(f"--workers {workers}: expected at least 1")
    if threads < 1:
        raise RequestError(f"--threads {threads}: expected at least 1")
    if not 0 < gpu_share <= 1:
        raise RequestError(f"--gpu-share {gpu_share:g}: expected more than 0 and at most 1")


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
    torch.use_deterministic_algorithms(wanted)
    torch.backends.cudnn.benchmark = not wanted


def cores() -> int:
    """How many processor cores this process may use, by its CPU affinity and by the quota of its cgroup.

    A container often sees all cores of its machine and may use only a few of them: its quota says so.
    """
    from joblib import cpu_count  # type: ignore[import-untyped]  # late: it takes a tenth of a second

    return int(cpu_count())


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
