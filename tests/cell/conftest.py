"""What the tests of cells share: one small run, whose victims are trained once."""

from pathlib import Path

import pytest

import bench
from bench.store.store import Store

DIGITS = {"datasets": "digits[train_size=300]", "models": "resnet18[width=4]", "reference": 40, "suspects": 20}
SELECTED = {"attacks": "none,badnets", "defenses": "none,fine_pruning,fire"}


@pytest.fixture(scope="session")
def digits() -> dict[str, object]:
    """The request of ``grid`` without its attacks and defenses."""
    return DIGITS


@pytest.fixture(scope="session")
def grid(tmp_path_factory: pytest.TempPathFactory) -> tuple[bench.Results, Store]:
    """Two victims against three defenses, in this process; a test that changes the store copies it first."""
    root: Path = tmp_path_factory.mktemp("grid") / "store"
    return bench.run(**DIGITS, **SELECTED, store=root, executor="inline"), Store(root)
