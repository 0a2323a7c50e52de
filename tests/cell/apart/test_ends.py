"""What forked processes leave behind is gone when they end, however that happens."""

import os
import signal
import subprocess
import sys
import uuid
from pathlib import Path

import forked
import psutil
import pytest

TESTS = Path(forked.__file__).parent
LEFT = 4  # processes that carry the mark: a child, a grandchild, a child of its own session, a daemon; and a shell


@pytest.fixture
def mark() -> str:
    return f"mark-{uuid.uuid4().hex}"


def left(process, mark: str) -> set[int]:
    """The processes that a forked one has left behind, which are all there; they are told by their mark."""
    process.send(mark)
    assert process.receive() == process.pid
    assert forked.soon(lambda: len(forked.marked(mark)) >= LEFT + 1)
    return {one.pid for one in forked.marked(mark)}


@pytest.mark.parametrize("end", ["asked", "killed", "closed"])
def test_children_grandchildren_and_daemons_are_gone_with_their_process(forks, own_forks, mark, end):
    forks = own_forks if end == "closed" else forks
    with forks.process("forked:leaves", "the process") as process:
        left(process, mark)
        if end == "killed":
            os.kill(process.pid, signal.SIGKILL)
        elif end == "closed":
            forks.close()
    assert forked.marked(mark) == []
    assert not psutil.pid_exists(process.pid)


def test_a_neighbour_s_children_live_on(forks, mark):
    """Two processes of one stage: the end of one ends nothing of the other."""
    with forks.process("forked:echo", "one") as one, forks.process("forked:leaves", "two") as two:
        there = left(two, mark)
        with forks.process("forked:echo", "three") as three:
            three.send(1)
            assert three.receive() == [1]
        assert {process.pid for process in forked.marked(mark)} == there
        one.send(2)
        assert one.receive() == [2]
    assert forked.marked(mark) == []


def start_worker(mark: str) -> tuple[subprocess.Popen[str], int]:
    """A process that uses forks, and the number of the one that it has forked."""
    code = f"import sys; sys.path[:] = {sys.path!r}; import forked; forked.worker({mark!r})"
    worker = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    pid = int(worker.stdout.readline())
    assert forked.soon(lambda: len(forked.marked(mark)) >= LEFT + 1)
    return worker, pid


@pytest.mark.parametrize("number", [signal.SIGKILL, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_everything_is_gone_when_the_worker_dies(mark, number):
    worker, pid = start_worker(mark)
    below = psutil.Process(worker.pid).children(recursive=True)
    assert pid in {process.pid for process in below}
    worker.send_signal(number)
    worker.wait()
    worker.stdout.close()
    assert forked.soon(lambda: not forked.marked(mark), 5)
    assert forked.soon(lambda: not any(process.is_running() for process in below), 5)


@pytest.mark.slow
@pytest.mark.parametrize("number", range(20))
def test_everything_is_gone_whenever_the_worker_dies(number):
    test_everything_is_gone_when_the_worker_dies(f"mark-{uuid.uuid4().hex}", signal.SIGKILL)
