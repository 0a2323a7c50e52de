"""What the tests of the engine share: a small plan, and an empty store for it."""

from dataclasses import replace

import pytest
import scripted

from bench.plan.plan import Plan
from bench.plan.stages import Ref
from bench.store.store import Store


@pytest.fixture(scope="module")
def plan() -> Plan:
    """Four cells on the victims of badnets and sig."""
    return scripted.four_cells()


@pytest.fixture
def store(tmp_path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def built_in(monkeypatch):
    """Plugins pass for this project's own: their stages run in the worker itself."""
    monkeypatch.setattr("bench.plan.chooser.Ref", lambda *values: replace(Ref(*values), foreign=False))
