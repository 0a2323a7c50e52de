"""The keeper: a process that forks others for a worker, and ends them with all that they have started.

It has torch and the harness loaded, runs no plugin, computes nothing and never touches a GPU, so what it forks begins
in a known state within hundredths of a second. When its worker dies, however that happens, it ends what it has forked.
"""

import importlib
import os
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing import reduction
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NoReturn

from bench.cell.apart import kernel
from bench.cell.apart.messages import Gone, receive, send

COMPILER = "torch._dynamo"  # every optimizer loads it, which takes more than a second
LOADED = ("bench.cell.apart.defender", "bench.cell.apart.stage", COMPILER)  # once, for all that is forked
LOOK = 0.02  # seconds between two looks at whether a forked process still lives


@dataclass(frozen=True)
class Begin:
    """The first order: ``set_up`` prepares every process, such as its number of threads. ``True`` is the answer."""

    set_up: Callable[[], None]


@dataclass(frozen=True)
class Fork:
    """An order to fork a process. Its standard output, standard error and connections follow, as descriptors.

    function: "module:name" of what it runs, with its connections. modules: none of them foreign, to be loaded before:
    the next process has them already. connections: how many. The number of the process is the answer.
    """

    function: str
    modules: Sequence[str] = ()
    connections: int = 1


@dataclass(frozen=True)
class End:
    """An order to end a forked process and all that it has started."""

    pid: int


@dataclass(frozen=True)
class Ended:
    """The keeper's answer to ``End``, or its news that a process died: ``status`` as ``os.waitstatus_to_exitcode``."""

    pid: int
    status: int


def main(descriptor: int) -> None:
    """Carry out orders from the connection ``descriptor`` until the other side is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the run to decide
    keeper = _Keeper(Connection(descriptor))
    signal.signal(signal.SIGTERM, lambda *_: keeper.close())
    kernel.signal_with_the_parent(signal.SIGTERM)
    kernel.adopt_orphans()  # what forked processes have detached from themselves
    for module in LOADED:
        importlib.import_module(module)
    with suppress(Gone, EOFError, OSError):
        keeper.serve()
    keeper.close()


@dataclass
class _Keeper:
    orders: Connection
    children: set[int] = field(default_factory=set)
    set_up: Callable[[], None] = lambda: None

    def serve(self) -> None:
        while True:
            if self.orders.poll(LOOK if self.children else None):
                match receive(self.orders):
                    case Begin(set_up):
                        set_up()  # it may load modules, which takes long, and what is forked has them then
                        self.set_up = set_up
                        self.say(True)
                    case Fork() as order:
                        self.fork(order)
                    case End(pid):
                        self.end(pid)
            for pid in list(self.children):
                if (status := _ended(pid)) is not None:
                    self.over(pid, status)

    def fork(self, order: Fork) -> None:
        for module in order.modules:
            importlib.import_module(module)
        descriptors = [reduction.recv_handle(self.orders) for _ in range(2 + order.connections)]
        pid = os.fork()
        if pid == 0:
            _run(order, descriptors, self)
        for descriptor in descriptors:
            os.close(descriptor)
        self.children.add(pid)
        self.say(pid)

    def end(self, pid: int) -> None:
        """End a process; what has become of it may have been said already."""
        if pid in self.children:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(pid, signal.SIGKILL)
            with suppress(ProcessLookupError):  # it had no time to become the leader of its group
                os.kill(pid, signal.SIGKILL)
            self.over(pid, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))

    def over(self, pid: int, status: int) -> None:
        """A process has ended: end the rest of its group, and say so."""
        self.children.discard(pid)
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)
        if not self.children:
            _end_orphans()
        self.say(Ended(pid, status))

    def close(self) -> NoReturn:
        """End this process and what it has forked. Nothing else is torn down: there is nobody left to be told."""
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        for pid in list(self.children):
            with suppress(Gone, OSError):
                self.end(pid)
        _end_orphans()
        os._exit(0)

    def say(self, something: Any) -> None:
        send(self.orders, something)


def _run(order: Fork, descriptors: list[int], keeper: _Keeper) -> NoReturn:
    """What a forked process does."""
    status = 1
    try:
        os.setpgid(0, 0)
        kernel.signal_with_the_parent(signal.SIGKILL)
        keeper.orders.close()
        for number, descriptor in zip((1, 2), descriptors, strict=False):
            os.dup2(descriptor, number)
            os.close(descriptor)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        keeper.set_up()
        module, _, name = order.function.partition(":")
        getattr(importlib.import_module(module), name)(*map(Connection, descriptors[2:]))
        status = 0
    finally:
        with suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)


def _ended(pid: int) -> int | None:
    """The exit code of a child, or None if it still runs."""
    try:
        done, status = os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return 1
    return os.waitstatus_to_exitcode(status) if done else None


def _end_orphans() -> None:
    """End what forked processes have detached from themselves; no process that this one has forked lives any more."""
    while orphans := _children():
        for pid in orphans:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
            with suppress(ChildProcessError):
                os.waitpid(pid, 0)


def _children() -> list[int]:
    try:
        return [
            int(pid) for task in Path("/proc/self/task").iterdir() for pid in (task / "children").read_text().split()
        ]
    except OSError:  # not Linux, or a kernel that does not tell
        return []
