"""Faults: whatever a worker or a disk does, only its own cell fails."""

import os
import resource
import signal
import subprocess
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest
import tiny

import bench
from bench.engine import worker
from bench.errors import Died
from bench.records import Record
from bench.store.store import Store

BAD = {
    "raise": (1, "failed", "RuntimeError: this defense is broken"),
    "interrupt": (1, "failed", "KeyboardInterrupt"),
    "leave": (1, "failed", "SystemExit: 0"),
    "big": (1, "failed", "File too large"),
    "exit": (2, "failed", "the defense's process died (exit code 7), both times"),
    "vanish": (2, "failed", "the defense's process died (exit code 0), both times"),
    "segfault": (2, "failed", "the defense's process died (signal SIGSEGV), both times"),
    "kill": (2, "failed", "the defense's process died (signal SIGKILL; out of memory?), both times"),
    "hoard": (2, "failed", "MemoryError, both times"),
    "hang": (2, "timeout", "stopped after the timeout of 4 s, both times"),
}
QUICK = ["raise", "interrupt", "leave", "big", "vanish", "hang"]  # what is killed: ``test_a_killed_process_…``


def misbehave(folder: Path, ways: list[str]) -> tuple[dict[str, Record], Counter[str]]:
    """The records of a run with a bad defense for each way and one that works, where no file may exceed 64 KiB."""
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
    return misbehave(tmp_path_factory.mktemp("failed"), QUICK)


@pytest.fixture(scope="module")
def slowly_failed(tmp_path_factory):
    return misbehave(tmp_path_factory.mktemp("failed"), [way for way in BAD if way not in QUICK])


def check(run: tuple[dict[str, Record], Counter[str]], way: str) -> None:
    records, calls = run
    times, status, reason = BAD[way]
    record = records[f"bad[how={way}]" if way != "raise" else "bad"]
    assert (record.status, calls[way]) == (status, times)
    assert reason in record.reason
    assert records["halve"].status == "done"
    assert all(record.status != "done" for name, record in records.items() if name != "halve")


@pytest.mark.parametrize("way", QUICK)
def test_bad_defense_fails_only_its_own_cell(failed, way):
    check(failed, way)


@pytest.mark.slow
@pytest.mark.parametrize("way", [way for way in BAD if way not in QUICK])
def test_bad_defense_fails_only_its_own_cell_slow(slowly_failed, way):
    check(slowly_failed, way)


@pytest.mark.parametrize(("code", "status"), [(-signal.SIGKILL, "memory"), (-signal.SIGSEGV, "died"), (7, "died")])
def test_a_killed_process_is_taken_to_have_run_out_of_memory(code, status):
    """The small form of "kill": ``test_forks.py`` has how a death is told, ``test_scheduler.py`` what follows."""
    assert worker._status(Died("the defense's process", code)) == status


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk takes root")
def test_a_full_disk_fails_what_did_not_fit_and_the_rest_resumes(tmp_path):
    """On a mount of its own, filled up but for what half of the grid takes; then there is room again."""
    disk, file = tmp_path / "disk", tiny.plugins(tmp_path)
    request = {**tiny.GRID, "attacks": "corner[n=0|1]", "defenses": "none,halve[n=1|2|3]", "plugin": [file]}
    whole = bench.run(**request, store=tmp_path / "whole", executor="inline")
    blocks = sum(-(-path.stat().st_size // 4096) for path in (tmp_path / "whole").rglob("*") if path.is_file())
    disk.mkdir()
    mount = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(disk)], capture_output=True)
    if mount.returncode:
        pytest.skip("mounting is not allowed here")
    try:
        (disk / "ballast").write_bytes(bytes(2**22 - 4096 * blocks // 2))
        first = bench.run(**request, store=disk / "store", executor="local", workers=1)
        full = [record for record in first.records if record.status == "failed"]
        assert len(first.records) == 8
        assert 0 < len(full) < 8, [record.reason for record in first.records]
        assert all("space" in record.reason for record in full), [record.reason for record in full]
        (disk / "ballast").unlink()
        second = bench.run(**request, store=disk / "store", executor="local", workers=1)
        pd.testing.assert_frame_equal(tiny.table(second.frame), tiny.table(whole.frame))
        assert not any((disk / "store" / "tmp").iterdir())
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)
