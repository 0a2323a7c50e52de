"""Faults: whatever a worker, a disk or a kill does, only the stage in flight is lost, and nothing is done twice."""

import os
import random
import resource
import signal
import subprocess
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pandas as pd
import psutil
import pytest
import tiny

import bench
from bench.api import open_registry, plan_of
from bench.store import Store

ATTACKS, DEFENSES = "corner[n=0|1]", "none,halve[n=1|2|3]"
STAGES = {"corner[n=0]": 1, "corner[n=1]": 1, "halve[n=1]": 2, "halve[n=2]": 2, "halve[n=3]": 2}


# --- workers that fail -------------------------------------------------------------------------------

BAD = {
    "raise": (1, "failed", "RuntimeError: this defense is broken"),
    "interrupt": (1, "failed", "KeyboardInterrupt"),
    "leave": (1, "failed", "SystemExit: 0"),
    "big": (1, "failed", "File too large"),
    "exit": (2, "failed", "the worker died (exit code 7), both times"),
    "vanish": (2, "failed", "the worker died (exit code 0), both times"),
    "segfault": (2, "failed", "the worker died (signal SIGSEGV), both times"),
    "kill": (2, "failed", "the worker died (signal SIGKILL; out of memory?), both times"),
    "hoard": (2, "failed", "MemoryError: , both times"),
    "hang": (2, "timeout", "stopped after the timeout of 4 s, both times"),
}


def misbehave(folder: Path, ways: list[str]) -> tuple[dict[str, bench.Record], Counter[str]]:
    """The records of a run with one bad defense for each way, and of one that works, on a disk for small files."""
    options = {"attacks": "corner", "defenses": f"bad[how={'|'.join(ways)}],halve", "workers": 1, "timeout": 4}
    limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (2**16, resource.RLIM_INFINITY))  # noqa: E731
    run = subprocess.run(tiny.command(folder, **options), capture_output=True, text=True, preexec_fn=limit, timeout=280)
    assert run.returncode == 1, run.stderr
    assert "Traceback" not in run.stderr, run.stderr
    store = Store(folder / "store")
    assert not any((store.root / "tmp").iterdir())
    assert not any((store.root / "claims").iterdir())
    return {record.defense_label: record for record in store.records()}, tiny.log(folder)


@pytest.fixture(scope="module")
def failed(tmp_path_factory):
    return misbehave(tmp_path_factory.mktemp("failed"), ["raise", "interrupt", "leave", "big", "vanish", "kill"])


@pytest.fixture(scope="module")
def failed_too(tmp_path_factory):
    return misbehave(tmp_path_factory.mktemp("failed"), ["exit", "segfault", "hoard", "hang"])


def check(found, way: str) -> None:
    records, calls = found
    times, status, reason = BAD[way]
    record = records[f"bad[how={way}]" if way != "raise" else "bad"]
    assert (record.status, calls[way]) == (status, times)
    assert reason in record.reason
    assert records["halve"].status == "done"
    assert all(record.status != "done" for name, record in records.items() if name != "halve")


@pytest.mark.parametrize("way", ["raise", "interrupt", "leave", "big", "vanish", "kill"])
def test_it_fails_only_its_own_cell(failed, way):
    check(failed, way)


@pytest.mark.slow
@pytest.mark.parametrize("way", ["exit", "segfault", "hoard", "hang"])
def test_it_fails_only_its_own_cell_too(failed_too, way):
    check(failed_too, way)


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk takes root")
def test_a_full_disk_fails_what_did_not_fit_and_the_rest_resumes(tmp_path):
    """A mount of its own is too small for the grid; made larger, the same command ends as if nothing had been."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=140k", "tmpfs", str(disk)], capture_output=True)
    if mount.returncode:
        pytest.skip("mounting is not allowed here")
    try:
        file, request = tiny.plugins(tmp_path), {**tiny.GRID, "attacks": ATTACKS, "defenses": DEFENSES}
        first = bench.run(**request, plugin=[file], store=disk / "store", executor="local", workers=1)
        full = [record for record in first.records if record.status == "failed"]
        assert len(first.records) == 8
        assert 0 < len(full) < 8, [record.reason for record in first.records]
        assert all("space" in record.reason for record in full)
        subprocess.run(["mount", "-o", "remount,size=64m", str(disk)], check=True)
        second = bench.run(**request, plugin=[file], store=disk / "store", executor="local", workers=1)
        whole = bench.run(**request, plugin=[file], store=tmp_path / "whole", executor="inline")
        pd.testing.assert_frame_equal(tiny.table(second.frame), tiny.table(whole.frame))
        assert not any((disk / "store" / "tmp").iterdir())
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


# --- runs that are killed ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> tuple[pd.DataFrame, float]:
    """The table of a run that nobody kills, and how long it takes."""
    folder = tmp_path_factory.mktemp("undisturbed")
    began = time.monotonic()
    run = tiny.start(folder, attacks=ATTACKS, defenses=DEFENSES, workers=2)
    _, err = run.communicate(timeout=120)
    assert run.returncode == 0, err
    return final(folder), time.monotonic() - began


def final(folder: Path) -> pd.DataFrame:
    """The table of a run that has nothing left to do: nothing is computed for it."""
    before = tiny.log(folder)
    request = {**tiny.GRID, "attacks": ATTACKS, "defenses": DEFENSES}
    results = bench.run(**request, plugin=[tiny.plugins(folder)], store=folder / "store", executor="inline")
    assert tiny.log(folder) == before
    return tiny.table(results.frame)


def finished(folder: Path) -> Counter[str]:
    """The stages that the store holds whole, by what their plugin writes down; of the control column nothing."""
    if not (folder / "store" / "store.json").is_file():
        return Counter()
    registry, store = open_registry([tiny.plugins(folder)]), Store(folder / "store")
    plan = plan_of(registry, folder, **{**tiny.GRID, "attacks": ATTACKS, "defenses": DEFENSES})
    found = [victim.attack for victim in plan.victims if store.has("victims", victim.key)]
    found += [cell.defense for cell in plan.cells if store.has("cells", cell.key)]
    return Counter(f"{ref.name}[n={ref.parameters['n']}]" for ref in found if ref.name != "none")


def kill(folder: Path, chance: random.Random, seconds: float) -> None:
    """Start a run, kill its parent or one of its workers after a while, and see that nothing of it stays."""
    run = tiny.start(folder, attacks=ATTACKS, defenses=DEFENSES, workers=2)
    time.sleep(chance.uniform(0.2, 1.0) * seconds)
    parent = psutil.Process(run.pid)
    with suppress(psutil.NoSuchProcess):
        workers = [child for child in parent.children() if "spawn_main" in " ".join(child.cmdline())]
        victim = chance.choice([parent, *workers]) if chance.random() < 0.5 else parent
        victim.send_signal(signal.SIGKILL)
    run.communicate(timeout=120)
    assert tiny.gone(run.pid), "a worker outlived its parent"


def killed_and_resumed(folder: Path, seed: int, undisturbed: tuple[pd.DataFrame, float]) -> None:
    expected, seconds = undisturbed
    kill(folder, random.Random(seed), seconds)
    done, calls = finished(folder), tiny.log(folder)
    run = tiny.start(folder, attacks=ATTACKS, defenses=DEFENSES, workers=2)
    _, err = run.communicate(timeout=120)
    assert run.returncode == 0, err
    since = tiny.log(folder) - calls
    for name, times in STAGES.items():
        assert since[name] == times - done[name], f"{name}: {done[name]} of {times} were done, then {since[name]}"
    pd.testing.assert_frame_equal(final(folder), expected)
    assert not any((folder / "store" / "tmp").iterdir())
    assert not any((folder / "store" / "claims").iterdir())
    assert Store(folder / "store").count("checkpoints") == 0


@pytest.mark.parametrize("seed", range(3))
def test_a_killed_run_resumes_to_the_same_table(tmp_path, undisturbed, seed):
    killed_and_resumed(tmp_path, seed, undisturbed)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3, 50))
def test_a_killed_run_resumes_to_the_same_table_again(tmp_path, undisturbed, seed):
    killed_and_resumed(tmp_path, seed, undisturbed)
