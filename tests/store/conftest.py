"""What the tests of stores share: a plan, a store with waste in it, and processes that hold locks."""

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest
from stores import ABCD, SELECTED, put, train

from bench.api import open_registry
from bench.plan.plan import make_plan
from bench.plan.request import Request
from bench.store.store import Store

HOLD_LOCK = """
import fcntl, sys
with open(sys.argv[1], "w") as file:
    fcntl.lockf(file, fcntl.LOCK_EX)
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture(scope="module")
def plan():
    """Four cells of two victims."""
    return make_plan(Request(**{**SELECTED, "seeds": (0,)}), open_registry(), Path())


@pytest.fixture
def littered(tmp_path, plan) -> Store:
    """A store with one of everything that is needed, and one of everything that is waste."""
    store = Store(tmp_path / "s")
    first, second, third, _ = plan.cells
    train(store, first.victim)
    train(store, third.victim)
    put(store, first)
    put(store, second, "failed")
    put(store, third, "not-applicable")
    put(store, first, "failed")  # as if another process had finished the cell since
    for key in (first.victim.key, ABCD):
        store.write("checkpoints", key, {"state.pt": {"epochs": 1}})
    node = platform.node()
    for name in (f"{2**22 + 1}-x@{node}", f"{os.getpid()}-x@{node}", f"{2**22 + 1}-x@another-machine"):
        (store.root / "tmp" / name).mkdir()
        (store.root / "tmp" / name / "model.safetensors").write_bytes(b"x" * 1000)
    (store.root / "claims").mkdir()
    (store.root / "claims" / f"{first.key}.lock").touch()
    return store


@pytest.fixture
def hold():
    """Starts processes that each hold a lock until the test ends, without our code."""
    started = []

    def start(store: Store, key: str) -> subprocess.Popen:
        (store.root / "claims").mkdir(exist_ok=True)
        command = [sys.executable, "-c", HOLD_LOCK, str(store.root / "claims" / f"{key}.lock")]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        started.append(process)
        assert process.stdout.readline() == "held\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()
