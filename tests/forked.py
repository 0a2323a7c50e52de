"""What forked processes do in the tests of ``bench.cell.apart``, and the ways to find those that are left."""

import ctypes
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import torch

from bench.cell.apart.keeper import COMPILER
from bench.cell.apart.messages import receive, send, telling
from bench.errors import Damaged

SLEEPER = [sys.executable, "-S", "-c", "import time; time.sleep(600)"]


def one_thread() -> None:
    """Prepare a process as workers are."""
    torch.set_num_threads(1)


def fails() -> None:
    """Prepare a process that never comes to be."""
    os._exit(1)


def echo(connection, *further):
    """Send back whatever comes, and after it what came from further connections."""
    with telling(connection):
        while True:
            send(connection, [receive(connection), *map(receive, further)])


def state(connection):
    """Tell what the process began with: open descriptors, threads, and its number."""
    with telling(connection):
        here = Path("/proc/self/fd")
        links = {int(link.name): str(link.readlink()) for link in list(here.iterdir()) if link.is_symlink()}
        send(connection, (links, threading.active_count(), os.getpid(), torch.get_num_threads()))


def loaded(connection):
    """Tell whether this process need not load what every optimizer does."""
    with telling(connection):
        send(connection, COMPILER in sys.modules)


class Unreadable(Exception):
    def __str__(self):
        raise RuntimeError("no text")

    def __reduce__(self):
        raise TypeError("cannot be pickled")


class Starved(Unreadable, RuntimeError):
    """Looked at more closely: torch's allocator raises RuntimeError, which is told from others by its text."""


class Needs(Exception):
    def __init__(self, one, *, other):
        super().__init__(one, other)


class Proud(str):
    """Text of a class that nobody else has."""


def odd_errors() -> dict[str, tuple[BaseException, str]]:
    """Errors that a plugin may raise, each with the beginning of its line."""
    return {
        "plain": (ValueError("of\ntwo lines"), "ValueError: of two lines"),
        "no text": (KeyError(), "KeyError"),
        "unpicklable": (Needs("odd", other=lambda: 0), "Needs: ('odd', <function"),
        "unreadable": (Unreadable(), "Unreadable: its message cannot be read"),
        "unreadable, of torch's kind": (Starved(), "Starved: its message cannot be read"),
        "half a surrogate pair": (ValueError("a \udc80 file"), "ValueError: a \\udc80 file"),
        "steers": (ValueError("\x1b[31mred"), "ValueError: \\x1b[31mred"),
        "long": (ValueError("x" * 20_000_000), "ValueError: xxx"),
        "own text": (ValueError(Proud("proud")), "ValueError: proud"),
        "exit": (SystemExit(0), "SystemExit: 0"),
        "interrupt": (KeyboardInterrupt(), "KeyboardInterrupt"),
        "generator": (GeneratorExit(), "GeneratorExit"),
        "stop": (StopIteration(3), "StopIteration: 3"),
        "end of file": (EOFError("no more"), "EOFError: no more"),
        "pipe": (BrokenPipeError(32, "broken"), "BrokenPipeError: [Errno 32] broken"),
        "reset": (ConnectionResetError("reset"), "ConnectionResetError: reset"),
        "group": (ExceptionGroup("two", [ValueError("a"), KeyError("b")]), "ExceptionGroup: two (2 sub-exceptions)"),
        "all": (BaseExceptionGroup("one", [SystemExit(1)]), "BaseExceptionGroup: one (1 sub-exception)"),
        "odd syntax": (SyntaxError("bad", ("file", 1, 1, 5)), "SyntaxError: bad (file, line 1)"),
        "odd notes": (_noted(ValueError("noted"), 7), "ValueError: noted"),
    }


def memory_errors() -> dict[str, BaseException]:
    """What is raised when memory runs out."""
    return {
        "python": MemoryError(),
        "gpu": torch.OutOfMemoryError("CUDA out of memory"),
        "torch": RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"),
    }


def raises(connection):
    """Raise the errors that are named, as a plugin would."""
    with telling(connection):
        name = receive(connection)
        if name == "damaged":
            raise Damaged("victims", "0" * 32, "model.safetensors")
        raise memory_errors()[name] if name in memory_errors() else odd_errors()[name][0]


DEATHS: dict[str, tuple[Callable[[], object], int]] = {
    "killed": (lambda: os.kill(os.getpid(), signal.SIGKILL), -signal.SIGKILL),
    "segfault": (lambda: ctypes.string_at(0), -signal.SIGSEGV),
    "abort": (os.abort, -signal.SIGABRT),
    "nameless signal": (lambda: os.kill(os.getpid(), 40), -40),
    "vanish": (lambda: os._exit(0), 0),
    "exit": (lambda: os._exit(7), 7),
    "exit in a thread": (lambda: (threading.Thread(target=os._exit, args=(3,)).start(), time.sleep(60)), 3),
    "connection closed": (lambda: os.closerange(3, 256), 0),
}


def dies(connection):
    """Die in the way that is named, before there is an answer."""
    way = receive(connection)
    with telling(connection):
        DEATHS[way][0]()
        receive(connection)


def speaks(connection):
    """Say something and end."""
    send(connection, "the last word")


def speaks_when_asked(connection):
    """Say something and end, with a question that is not read."""
    connection.poll(None)
    send(connection, "the last word")


def leaves(connection):
    """Leave threads, children, grandchildren and daemons behind, with the text that is given in their command line."""
    mark = receive(connection)
    with telling(connection):
        subprocess.Popen([*SLEEPER, mark])
        subprocess.Popen(["sh", "-c", '"$@" & sleep 600', "sh", *SLEEPER, mark])
        subprocess.Popen([*SLEEPER, mark], start_new_session=True)
        if os.fork() == 0:  # a daemon as in the books: its parent is gone, its session its own
            os.setsid()
            if os.fork() == 0:
                signal.signal(signal.SIGTERM, signal.SIG_IGN)
                os.execv(SLEEPER[0], [*SLEEPER, mark])
            os._exit(0)
        os.wait()
        threading.Thread(target=time.sleep, args=(600,)).start()
        send(connection, os.getpid())
        receive(connection)


def result(do: Callable[[], Any]) -> Any:
    """What a function gives in a copy of this process, which ends with it. What it raises is raised here."""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        given: Any
        try:
            given = do()
        except BaseException as error:
            given = error
        os.write(writer, pickle.dumps(given))
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        given = pickle.load(pipe)
    os.waitpid(child, 0)
    if isinstance(given, BaseException):
        raise given
    return given


def marked(mark: str) -> list[psutil.Process]:
    """All live processes with a text in their command line."""
    live = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if mark in process.cmdline() and process.status() != psutil.STATUS_ZOMBIE:
                live.append(process)
    return live


def soon(holds: Callable[[], bool], seconds: float = 10) -> bool:
    """Whether something holds within so many seconds."""
    end = time.monotonic() + seconds
    while not holds() and time.monotonic() < end:
        time.sleep(0.05)
    return holds()


def worker(mark: str) -> None:
    """What a worker does, to be killed in the middle: a keeper, a forked process, and all that this leaves behind."""
    from bench.cell.apart.forks import Forks

    with Forks(one_thread).process("forked:leaves", "the process") as process:
        process.send(mark)
        sys.stdout.write(f"{process.receive()}\n")
        sys.stdout.flush()
        time.sleep(600)


def _noted(error, note):
    error.__notes__ = note
    return error
