"""Locks: which process computes which stage."""

import subprocess
import sys
import threading
from pathlib import Path

from stores import ABCD, EF01

from bench.store import locks

HOLDER = """
import sys, time
from pathlib import Path
from bench.store import locks
with locks.lock(Path(sys.argv[1]), "abcd" * 8) as locked:
    print(locked, flush=True)
    time.sleep(600)
"""


def holder(root: Path) -> subprocess.Popen[str]:
    """Another process that holds the lock of ABCD."""
    process = subprocess.Popen([sys.executable, "-c", HOLDER, str(root)], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "True\n"
    return process


def test_a_lock_is_exclusive_while_its_process_lives(tmp_path):
    other = holder(tmp_path)
    try:
        with locks.lock(tmp_path, ABCD) as locked:
            assert not locked
        with locks.lock(tmp_path, EF01) as locked:
            assert locked
            assert locks.held(tmp_path) == [ABCD, EF01]
        locks.sweep(tmp_path)
        assert locks.held(tmp_path) == [ABCD]
    finally:
        other.kill()
        other.wait()
    assert locks.held(tmp_path) == []
    assert [path.name for path in (tmp_path / "claims").iterdir()] == [f"{ABCD}.lock"]
    with locks.lock(tmp_path, ABCD) as locked:
        assert locked
    assert not any((tmp_path / "claims").iterdir())


def test_lock_files_of_dead_processes_are_swept(tmp_path):
    other = holder(tmp_path)
    other.kill()
    other.wait()
    locks.sweep(tmp_path)
    assert not any((tmp_path / "claims").iterdir())


def test_a_file_that_its_owner_removes_meanwhile_locks_nothing(tmp_path, monkeypatch):
    """The owner removes it between our opening and locking it: the next process makes, and locks, a new file."""
    original = locks.fcntl.flock

    def flock(descriptor, how):
        (tmp_path / "claims" / f"{ABCD}.lock").unlink()
        original(descriptor, how)

    monkeypatch.setattr(locks.fcntl, "flock", flock)
    with locks.lock(tmp_path, ABCD) as locked:
        assert not locked


def test_two_never_hold_one_lock_while_files_come_and_go(tmp_path):
    """Threads suffice: every lock opens the file anew, and flock tells open files apart, not processes."""
    inside, most, granted = [], [], []

    def contend():
        for _ in range(1500):
            with locks.lock(tmp_path, ABCD) as locked:
                if locked:
                    inside.append(1)
                    most.append(len(inside))
                    inside.pop()
                    granted.append(1)

    threads = [threading.Thread(target=contend) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(granted) > 100
    assert max(most) == 1
