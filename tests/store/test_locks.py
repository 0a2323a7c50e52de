"""Locks: which process computes which stage."""

import json
import os
import platform
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest
from stores import ABCD, BEEF, EF01

from bench.store import locks

HOLDER = """
import os, sys, time
from pathlib import Path
from bench.store import locks
with locks.lock(Path(sys.argv[1]), "abcd" * 8) as locked:
    if sys.argv[2:] == ["with a child"] and not (child := os.fork()):
        os.closerange(0, 3)
        time.sleep(60)
    print(child if sys.argv[2:] else locked, flush=True)
    time.sleep(600)
"""
CONTENDER = """
import os, sys, time
from pathlib import Path
from bench.store import locks
root, granted, end = Path(sys.argv[1]), 0, time.monotonic() + float(sys.argv[2])
while time.monotonic() < end:
    with locks.lock(root, "abcd" * 8) as locked:
        if locked:
            os.close(os.open(root / "inside", os.O_CREAT | os.O_EXCL))
            granted += 1
            os.unlink(root / "inside")
print(granted)
"""
LIES_IN = """
import fcntl, sys
with open(sys.argv[1], "w") as file:
    file.write(sys.argv[2])
    file.flush()
    fcntl.lockf(file, fcntl.LOCK_EX, 1, 0)
    print("held", flush=True)
    sys.stdin.read()
"""


def start(program: str, *words: object) -> subprocess.Popen[str]:
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    return subprocess.Popen([sys.executable, "-c", program, *map(str, words)], **pipes)


def end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()


def claims(root: Path) -> list[str]:
    return sorted(path.name for path in (root / "claims").iterdir())


def test_a_lock_is_exclusive_while_its_process_lives(tmp_path):
    other = start(HOLDER, tmp_path)
    try:
        assert other.stdout.readline() == "True\n"
        with locks.lock(tmp_path, ABCD) as locked:
            assert not locked
        assert locks.owner(tmp_path, ABCD) == f"process {other.pid} on {platform.node()}"
        with locks.lock(tmp_path, EF01) as locked:
            assert locked
            assert locks.held(tmp_path) == [ABCD, EF01]
        locks.sweep(tmp_path)
        assert locks.held(tmp_path) == [ABCD]
    finally:
        end(other)
    assert locks.held(tmp_path) == []
    assert claims(tmp_path) == [f"{ABCD}.lock"]
    with locks.lock(tmp_path, ABCD) as locked:
        assert locked
    assert not claims(tmp_path)


def test_lock_files_of_dead_processes_are_swept(tmp_path):
    other = start(HOLDER, tmp_path)
    other.stdout.readline()
    end(other)
    locks.sweep(tmp_path)
    assert not claims(tmp_path)


def test_a_lock_does_not_live_on_in_what_its_process_leaves_behind(tmp_path):
    """A forked child of a worker that was killed holds all that was open, for ever."""
    other = start(HOLDER, tmp_path, "with a child")
    child = psutil.Process(int(other.stdout.readline()))
    try:
        assert locks.held(tmp_path) == [ABCD]
        other.kill()
        other.wait()
        assert child.status() != psutil.STATUS_ZOMBIE
        assert locks.held(tmp_path) == []
        with locks.lock(tmp_path, ABCD) as locked:
            assert locked
    finally:
        child.kill()
        end(other)


def test_looking_at_locks_does_not_drop_those_of_this_process(tmp_path):
    """A process drops a POSIX lock when it closes any descriptor of the file."""
    with locks.lock(tmp_path, ABCD) as locked:
        assert locked
        with locks.lock(tmp_path, ABCD) as again:
            assert not again
        locks.sweep(tmp_path)
        assert locks.held(tmp_path) == [ABCD]
        assert locks.owner(tmp_path, ABCD) == f"process {os.getpid()}, this one"
        other = start(CONTENDER, tmp_path, 0.1)
        assert other.communicate()[0] == "0\n"
    assert not claims(tmp_path)


def test_a_forked_copy_neither_holds_nor_releases_the_lock(tmp_path):
    with locks.lock(tmp_path, ABCD):
        child = os.fork()
        if not child:
            with locks.lock(tmp_path, ABCD) as locked:
                os._exit(7 if locked else 0)
        assert os.waitpid(child, 0)[1] == 0
        child = os.fork()
        if child:
            assert os.waitpid(child, 0)[1] == 0
            assert claims(tmp_path) == [f"{ABCD}.lock"]
    if not child:
        os._exit(0)
    assert not claims(tmp_path)


def named(pid: int, started: float, **changes: str) -> str:
    host = {"host": platform.node(), "space": str(Path("/proc/self/ns/pid").readlink()), **changes}
    return json.dumps({**host, "pid": pid, "started": started})


def dead() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


@pytest.mark.skipif(sys.platform != "linux", reason="process numbers have a space of their own on Linux only")
@pytest.mark.parametrize(
    ("text", "free"),
    [
        (lambda: named(dead(), 0), True),
        (lambda: named(os.getpid(), psutil.Process().create_time() - 1000), True),  # the number was given again
        (lambda: named(os.getpid(), psutil.Process().create_time()), False),
        (lambda: named(dead(), 0, host="elsewhere"), False),
        (lambda: named(dead(), 0, space="pid:[1]"), False),
        (lambda: "", False),
        (lambda: "[" * 900, False),
        (lambda: '{"host": 1, "space": 2, "pid": -1, "started": NaN}', False),
        (lambda: '{"host": "a", "space": "b", "pid": 1e999, "started": 0}', False),
    ],
)
def test_a_lock_whose_owner_on_this_host_is_gone_is_free(tmp_path, text, free):
    """As on a network disk that has not noticed the death; another process stands in for the disk."""
    (tmp_path / "claims").mkdir()
    disk = start(LIES_IN, tmp_path / "claims" / f"{BEEF}.lock", text())
    try:
        assert disk.stdout.readline() == "held\n"
        assert locks.held(tmp_path) == ([] if free else [BEEF])
        with locks.lock(tmp_path, BEEF) as locked:
            assert locked == free
            assert locks.held(tmp_path) == [BEEF]  # by us, or still by its owner
            other = start(CONTENDER.replace("abcd", "beef"), tmp_path, 0.1)
            assert other.communicate()[0] == "0\n"
        assert claims(tmp_path) == ([] if free else [f"{BEEF}.lock"])
    finally:
        end(disk)


def test_what_an_owner_is_called_cannot_steer_a_terminal(tmp_path):
    (tmp_path / "claims").mkdir()
    (tmp_path / "claims" / f"{ABCD}.lock").write_text(named(1, 0, host="\x1b[2J\u202e" * 50))
    owner = locks.owner(tmp_path, ABCD)
    assert owner.isprintable()
    assert len(owner) < 200


def test_a_file_that_has_another_name_elsewhere_is_not_written_to(tmp_path):
    (tmp_path / "claims").mkdir()
    (tmp_path / "thesis").write_text("text")
    (tmp_path / "claims" / f"{ABCD}.lock").hardlink_to(tmp_path / "thesis")
    with locks.lock(tmp_path, ABCD):
        assert (tmp_path / "thesis").read_text() == "text"


@pytest.mark.parametrize("byte", [locks.DOOR, locks.HELD])
def test_a_file_that_its_owner_removes_meanwhile_locks_nothing(tmp_path, monkeypatch, byte):
    """The owner removes it between our opening and locking it: the next process makes, and locks, a new file."""
    original = locks.fcntl.lockf

    def lockf(*arguments):
        if arguments[3] == byte:
            (tmp_path / "claims" / f"{ABCD}.lock").unlink(missing_ok=True)
        return original(*arguments)

    monkeypatch.setattr(locks.fcntl, "lockf", lockf)
    with locks.lock(tmp_path, ABCD) as locked:
        assert not locked


def test_two_processes_never_hold_one_lock_while_files_come_and_go(tmp_path):
    others = [start(CONTENDER, tmp_path, 1.5) for _ in range(3)]
    granted = [int(other.communicate()[0]) for other in others]  # one that found another inside has said nothing
    assert sum(granted) > 30
    assert min(granted) > 0


def test_two_threads_never_hold_one_lock(tmp_path):
    inside, most, granted = [], [], []

    def contend():
        end = time.monotonic() + 0.5
        while time.monotonic() < end:
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
    assert len(granted) > 10
    assert max(most) == 1
