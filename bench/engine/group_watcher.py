"""A program that waits until its parent, whose number it is given, has ended, and then kills the parent's group.

It is a program of its own, in a group of its own, so that nothing takes it along; and it imports nothing of the
harness, so that it is small. It becomes nobody's child, so that all of its parent's children are of stages.
"""

import contextlib
import os
import select
import signal
import sys
from typing import Any


def main(leader: int) -> None:
    """Return at once; a copy stays and watches."""
    ended = os.pidfd_open(leader) if hasattr(os, "pidfd_open") else None
    if os.getppid() != leader or os.fork():  # it has ended already, before it could start anything
        return
    os.setpgid(0, 0)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    for descriptor in map(int, os.listdir("/dev/fd")):  # noqa: PTH208 - else who reads from the run would wait for us
        if descriptor != ended:
            with contextlib.suppress(OSError):
                os.close(descriptor)
    if ended is not None:
        select.select([ended], [], [])
    else:
        _wait_by_kqueue(leader)
    with contextlib.suppress(OSError):
        os.killpg(leader, signal.SIGKILL)


def _wait_by_kqueue(process: int) -> None:
    """Wait for the end of a process on macOS and the BSDs."""
    system: Any = select  # the names are not there on Linux
    queue = system.kqueue()
    ending = system.kevent(process, system.KQ_FILTER_PROC, system.KQ_EV_ADD, system.KQ_NOTE_EXIT)
    with contextlib.suppress(ProcessLookupError):  # it has ended
        queue.control([ending], 1)


if __name__ == "__main__":
    main(int(sys.argv[1]))
