"""A grid that takes a moment: one-file plugins that write down what they do, and the ways to run them."""

import os
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pandas as pd
import psutil

PLUGINS = '''
import ctypes, os, resource, signal, time
from pathlib import Path
from typing import ClassVar
import torch
from pydantic import Field
from torch import nn
from bench.plugin import Attack, Dataset, ImageSpec, LabelledImages, Model, Repair, Splits

def note(what):
    """One line in the log, whole or not at all."""
    log = os.open(os.environ["TINY_LOG"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(log, f"{what}\\n".encode())
    os.close(log)

class Dots(Dataset):
    name: ClassVar[str] = "dots"
    @property
    def spec(self):
        return ImageSpec(1, 6, 6, classes=4, mean=(0.5,), std=(0.25,))
    def load(self, folder):
        labels = torch.arange(80) % 4
        images = torch.randint(0, 120, (80, 1, 6, 6), generator=torch.Generator().manual_seed(5), dtype=torch.uint8)
        images[torch.arange(80), 0, labels] += 90
        half = LabelledImages(images[:60], labels[:60]), LabelledImages(images[60:], labels[60:])
        return Splits(*half)

class Linear(Model):
    name: ClassVar[str] = "linear"
    def build(self, spec):
        return nn.Sequential(nn.Flatten(), nn.Linear(36, spec.classes))

class Corner(Attack):
    name: ClassVar[str] = "corner"
    n: int = 0
    seconds: float = 0.0
    def trigger(self, images, context):
        images = images.clone()
        images[..., -1, self.n] = 1
        return images
    def poison(self, train, context):
        note(f"corner[n={self.n}]")
        time.sleep(self.seconds)
        return super().poison(train, context)

class Halve(Repair):
    """Works."""
    name: ClassVar[str] = "halve"
    n: int = 1
    seconds: float = 0.0
    def repair(self, model, known, context):
        note(f"halve[n={self.n}]")
        time.sleep(self.seconds)
        model[1].weight.data[:, :: 1 + self.n] *= 0.5
        return model

class Bad(Repair):
    """Does what it is told, none of it good, and writes down every try."""
    name: ClassVar[str] = "bad"
    how: str = Field("raise")
    def repair(self, model, known, context):
        note(self.how)
        if self.how == "raise":
            raise RuntimeError("this defense\\nis broken")
        if self.how == "interrupt":
            raise KeyboardInterrupt
        if self.how == "leave":
            raise SystemExit(0)
        if self.how.startswith("starve"):
            if self.how == "starve" or Path(os.environ["TINY_LOG"]).read_text().count("starve-once") == 1:
                raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        if self.how == "hang":
            time.sleep(600)
        if self.how == "freeze":
            ctypes.PyDLL(None).sleep(600)  # keeps the interpreter's lock
        if self.how == "exit":
            os._exit(7)
        if self.how == "vanish":
            os._exit(0)
        if self.how == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.how == "segfault":
            ctypes.string_at(0)
        if self.how == "hoard":
            used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
            resource.setrlimit(resource.RLIMIT_AS, (used + 2**28, resource.RLIM_INFINITY))
            hoard = []
            while True:
                hoard.append(bytearray(2**24))
        if self.how == "big":
            context.note("filler", list(range(100_000)))
        return model
'''
GRID = {"datasets": "dots", "models": "linear", "reference": 8, "suspects": 4}
MEASURED = ["acc", "asr", "ra", "der", "acc_target", "acc_before", "asr_before", "ra_before"]
NAMES = ["dataset", "model", "attack_label", "defense_label", "seed", "status"]


def plugins(folder: Path) -> Path:
    """The file of the plugins, in ``folder``; what they write down goes into the file ``log`` beside it."""
    os.environ["TINY_LOG"] = str(folder / "log")
    file = folder / "tinyplugins.py"
    file.write_text(PLUGINS)
    return file


def log(folder: Path) -> Counter[str]:
    """How often each plugin was called."""
    return Counter((folder / "log").read_text().split("\n")[:-1]) if (folder / "log").exists() else Counter()


def command(folder: Path, store: str = "store", **options: object) -> list[str]:
    """``bench run`` of the tiny grid with these options."""
    words = [sys.executable, "-m", "bench", "run", "--plugin", str(plugins(folder)), "--store", str(folder / store)]
    for name, value in {**GRID, **options}.items():
        words += [f"--{name.replace('_', '-')}", str(value)]
    return words


def start(folder: Path, store: str = "store", **options: object) -> subprocess.Popen[str]:
    """The command in a session of its own, so that it can be signalled with all its workers."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command(folder, store, **options), text=True, start_new_session=True, **pipes)


def table(frame: pd.DataFrame) -> pd.DataFrame:
    """What two runs must agree on to the last digit."""
    return frame[NAMES + MEASURED]


def processes(session: int) -> list[psutil.Process]:
    """All live processes of a session."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, ProcessLookupError):
            if os.getsid(process.pid) == session and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def gone(session: int, seconds: float = 10) -> bool:
    """Whether no process of the session is left, after at most so many seconds."""
    end = time.monotonic() + seconds
    while processes(session) and time.monotonic() < end:
        time.sleep(0.05)
    return not processes(session)
