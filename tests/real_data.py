"""Where the real data sets lie, if they are at hand."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared" / "datasets" / "unpack.py"


def root_of(dataset: str, title: str, folder: str, factory: pytest.TempPathFactory) -> Path:
    """A directory with the real data set in torchvision's layout, where it lies in ``folder``; skips without one."""
    given = os.environ.get("DEFENSEBENCH_DATA")
    if given and (Path(given) / folder).is_dir():
        return Path(given)
    if not SHARED.is_file():
        pytest.skip(f"the real {title} is not here: set DEFENSEBENCH_DATA to a directory that has it")
    root = factory.mktemp("data")
    subprocess.run([sys.executable, str(SHARED), "--root", str(root), dataset], check=True, capture_output=True)
    return root
