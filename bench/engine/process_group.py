"""All that a worker's stages start ends with their stage: children, copies, shells, and what these leave behind.

A worker leads a process group of its own, in the session of its run. What its stages start is in the group, or has
left it for one of its own; on Linux all of it stays a descendant of the worker, which adopts what loses its parent.
``end_others`` kills the descendants at the end of a stage. A program of its own (``bench.engine.group_watcher``) kills
the group when the worker has ended, however that happened: also when a SIGKILL of the run has taken the worker along.
Only what has left both the group and a worker that was killed can go on.

A terminal's Ctrl-C reaches the run, which decides, and not the group.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

import psutil

from bench.cell.apart import kernel

LONGEST = 5.0  # seconds for what was killed to be gone: a process that waits for a disk cannot be killed before
WATCHER = Path(__file__).with_name("group_watcher.py")

_leader: int | None = None  # this process, once it leads


def lead() -> None:
    """Make this process the leader of a group that ends with it. Called once, before any stage.

    Where the program that watches over it cannot be started, all else holds.
    """
    global _leader
    _leader = os.getpid()
    if os.getpgrp() != os.getpid():
        with suppress(PermissionError):  # it leads a session, and so a group
            os.setpgid(0, 0)
    command = [sys.executable, "-I", "-S", str(WATCHER), str(os.getpid())]
    with suppress(OSError):
        subprocess.run(command, stdin=subprocess.DEVNULL, check=False)
    kernel.adopt_orphans()


def end_others(spared: Collection[int] = ()) -> int:
    """Kill what descends from this process, and wait until it is gone; returns how many processes these were.

    spared: the numbers of children that belong to the harness; what these have started is not spared. Nothing is done
    in a process that leads no group, such as a forked copy of a worker, or a user's own.
    """
    if _leader != os.getpid():
        return 0
    ended: set[int] = set()
    until = time.monotonic() + LONGEST
    while found := _descendants(spared):
        for process in found:
            with suppress(psutil.Error):
                process.kill()  # psutil makes sure that the number has not been given to another process
            ended.add(process.pid)
            with suppress(ChildProcessError):  # of a grandchild, until this process has adopted it
                os.waitpid(process.pid, os.WNOHANG)
        if time.monotonic() > until:
            break
        time.sleep(0.001)
    return len(ended)


def end_group(leader: int) -> None:
    """Kill the group of a child of this process that leads one, with the child, unless it has been waited for.

    A child that has been waited for may have given its number to another process; its watcher sees to its group.
    """
    with suppress(ChildProcessError, ProcessLookupError, PermissionError):
        os.waitid(os.P_PID, leader, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        if os.getpgid(leader) == leader:
            os.killpg(leader, signal.SIGKILL)


def _descendants(spared: Collection[int]) -> list[psutil.Process]:
    """What is to be ended. A dead child of a spared process is left to that process."""
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:  # there is no child, as after nearly every stage: no need to search all processes
        return []
    found = []
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):
            is_left = process.ppid() in spared and process.status() == psutil.STATUS_ZOMBIE
            if process.pid not in spared and not is_left:
                found.append(process)
    return found
