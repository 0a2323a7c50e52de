"""Where a result comes from: code version, commit, packages, device."""

import subprocess
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from bench import __version__

PACKAGES = ("torch", "torchvision", "timm", "numpy", "scipy", "scikit-learn", "pandas", "cvxpy", "pydantic")


@cache
def packages() -> dict[str, str]:
    """Installed versions of the packages that results depend on."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


@cache
def commit() -> tuple[str | None, bool | None]:
    """The commit that this code was taken from and whether it was changed since; (None, None) outside a checkout."""
    here = Path(__file__).resolve().parent

    def git(*arguments: str) -> str:
        call = ("git", "-C", str(here), *arguments)
        return subprocess.run(call, capture_output=True, text=True, check=True, timeout=10).stdout.strip()

    try:
        if git("ls-files", Path(__file__).name) == "":
            return None, None
        return git("rev-parse", "HEAD"), git("status", "--porcelain", "--untracked-files=no") != ""
    except (OSError, subprocess.SubprocessError):
        return None, None


def device_name(device: torch.device) -> str:
    """A device as a person would call it: the GPU's name, or the kind of processor."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"cpu ({torch.cpu.get_capabilities().get('cpu_name', 'unknown')})"


def facts(device: torch.device) -> dict[str, object]:
    """The provenance columns of a record."""
    head, dirty = commit()
    return {
        "device": device_name(device),
        "threads": torch.get_num_threads(),
        "code_version": __version__,
        "commit": head,
        "dirty": dirty,
    }
