"""A defense that leaves something behind in its worker, and writes down the processes that it started."""
# ruff: noqa: T201 - it prints as plugins do

import ctypes
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import ClassVar

import torch
from pydantic import Field
from torch.nn import functional

from bench.plugin import Repair

print("imported, as a plugin may say")


def note(what):
    log = os.open(os.environ["TINY_LOG"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(log, f"{what}\n".encode())
    os.close(log)


class Leaves(Repair):
    """Leaves behind what ``how`` says."""

    name: ClassVar[str] = "leaves"
    how: str = Field("children")

    def repair(self, model, known, context):
        for how in self.how.split("+"):
            globals()[how]()
        note(self.how)
        return model


def children():
    """A copy, a shell with children, what has left the group for a session of its own, and a daemon without parents."""
    if not os.fork():
        note(f"pid {os.getpid()}")
        time.sleep(600)
    script = "echo pid $$ >> $TINY_LOG; sleep 600 & sleep 600"
    for apart in (False, True):
        subprocess.Popen(["/bin/sh", "-c", script], start_new_session=apart)
    if not os.fork():
        os.setsid()
        if not os.fork():
            note(f"pid {os.getpid()}")
            time.sleep(600)
        os._exit(0)
    wait_for(4)


def copies():
    """As ``children``, but all stay in the group of the worker."""
    for _ in range(3):
        if not os.fork():
            note(f"pid {os.getpid()}")
            time.sleep(600)
    wait_for(3)


def wait_for(count):
    while Path(os.environ["TINY_LOG"]).read_text().count("pid ") < count:
        time.sleep(0.01)


def twin():
    """A copy goes on as if it were the worker."""
    os.fork()


def thread():
    threading.Thread(target=time.sleep, args=(600,), daemon=True, name="mine").start()


def dtype():
    torch.set_default_dtype(torch.float64)


def relu():
    functional.relu = functional.gelu


def draw():
    """Nothing of the next stage may depend on it."""
    torch.rand(3)


def prints():
    """Five million bytes from Python, from C, and from a child."""
    print("first \x1b[31mline\x1b[0m")
    library = ctypes.CDLL(None)
    library.puts(b"from C")
    library.fflush(None)
    subprocess.run(["/bin/sh", "-c", "echo from a child; echo and to stderr >&2"], check=True)
    print("last line", file=sys.stderr)
    print("x" * 5_000_000)


def crash():
    print("before the crash")
    ctypes.string_at(0)


def hang():
    time.sleep(600)


def freeze():
    ctypes.PyDLL(None).sleep(600)
