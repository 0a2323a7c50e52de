"""Runs that are killed at any moment resume to the same table, and nothing is computed twice."""

import random
import signal
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pandas as pd
import psutil
import pytest
import tiny

import bench
from bench.api import open_registry
from bench.plan.plan import make_plan
from bench.plan.request import Request
from bench.store.store import Store

GRID = {**tiny.GRID, "attacks": "corner[n=0|1]", "defenses": "none,halve[n=1|2|3]"}
STAGES = {"corner[n=0]": 1, "corner[n=1]": 1, "halve[n=1]": 2, "halve[n=2]": 2, "halve[n=3]": 2}


def inline(folder: Path) -> pd.DataFrame:
    """Do what is left of the grid in this process; its table."""
    results = bench.run(**GRID, plugin=[tiny.plugins(folder)], store=folder / "store", executor="inline")
    assert results.ok
    return tiny.table(results.frame)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> pd.DataFrame:
    return inline(tmp_path_factory.mktemp("undisturbed"))


def finished(folder: Path) -> Counter[str]:
    """How many stages the store holds, by what their plugin writes down; the control column writes nothing."""
    if not (folder / "store" / "store.json").is_file():
        return Counter()
    store = Store(folder / "store")
    plan = make_plan(Request(**GRID), open_registry([tiny.plugins(folder)]), folder)
    plugins = [victim.attack for victim in plan.victims if store.has("victims", victim.key)]
    plugins += [cell.defense for cell in plan.cells if store.has("cells", cell.key)]
    return Counter(f"{ref.name}[n={ref.parameters['n']}]" for ref in plugins if ref.name != "none")


def kill(folder: Path, chance: random.Random, workers: int) -> None:
    """Start a run and kill its parent or one of its workers: while they start, or after some stages have begun."""
    run = tiny.start(folder, workers=workers, **{name: GRID[name] for name in ("attacks", "defenses")})
    calls = chance.randrange(1 + sum(STAGES.values()))
    while tiny.log(folder).total() < calls and run.poll() is None:
        time.sleep(0.005)
    time.sleep(chance.uniform(0, 0.1 if calls else 5))
    parent = psutil.Process(run.pid)
    with suppress(psutil.NoSuchProcess):
        children = [child for child in parent.children() if "spawn_main" in " ".join(child.cmdline())]
        chance.choice([parent, chance.choice([parent, *children])]).send_signal(signal.SIGKILL)
    run.communicate(timeout=120)
    assert run.returncode in (0, -signal.SIGKILL)  # a run goes on without its worker
    assert tiny.gone(run.pid), "a worker outlived its parent"


def check(folder: Path, expected: pd.DataFrame, seed: int, workers: int, *, whole: bool) -> None:
    kill(folder, random.Random(seed), workers)
    done, calls = finished(folder), tiny.log(folder)
    if whole:
        run = tiny.start(folder, workers=workers, **{name: GRID[name] for name in ("attacks", "defenses")})
        _, err = run.communicate(timeout=120)
        assert run.returncode == 0, err
    table = inline(folder)
    since = tiny.log(folder) - calls
    for name, times in STAGES.items():
        assert since[name] == times - done[name], f"{name}: {done[name]} of {times} were done, then {since[name]}"
    pd.testing.assert_frame_equal(table, expected)
    assert not any((folder / "store" / "tmp").iterdir())
    assert not (folder / "store" / "claims").is_dir() or not any((folder / "store" / "claims").iterdir())


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (1, 2))])
def test_a_killed_run_resumes_to_the_same_table(tmp_path, undisturbed, seed):
    check(tmp_path, undisturbed, seed, 1, whole=False)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 150))
def test_a_killed_run_of_two_workers_resumes_to_the_same_table(tmp_path, undisturbed, seed):
    check(tmp_path, undisturbed, seed, 2, whole=True)
