"""A grid that takes a moment: plugins that write down when they are called, and a defense that misbehaves on request.

``tiny.plugins`` copies this file to the folder of a test, where it is a one-file plugin.
"""

import ctypes
import os
import resource
import signal
import time
from pathlib import Path
from typing import ClassVar

import torch
from pydantic import Field
from torch import nn

from bench.plugin import Attack, Dataset, ImageSpec, LabelledImages, Model, Repair, Splits


def note(what):
    """One line in the log, whole or not at all."""
    log = os.open(os.environ["TINY_LOG"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(log, f"{what}\n".encode())
    os.close(log)


class Dots(Dataset):
    """Four classes of noise, each with a bright dot in its column of the first row."""

    name: ClassVar[str] = "dots"

    @property
    def spec(self):
        return ImageSpec(1, 6, 6, classes=4, mean=(0.5,), std=(0.25,))

    def load(self, folder):
        labels = torch.arange(80) % 4
        images = torch.randint(0, 120, (80, 1, 6, 6), generator=torch.Generator().manual_seed(5), dtype=torch.uint8)
        images[torch.arange(80), 0, labels] += 90
        return Splits(LabelledImages(images[:60], labels[:60]), LabelledImages(images[60:], labels[60:]))


class Linear(Model):
    """A linear layer."""

    name: ClassVar[str] = "linear"

    def build(self, spec):
        return nn.Sequential(nn.Flatten(), nn.Linear(36, spec.classes))


class Corner(Attack):
    """A white pixel in the last row."""

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
    """Misbehaves in the way ``how``, and writes down every try."""

    name: ClassVar[str] = "bad"
    how: str = Field("raise")

    def repair(self, model, known, context):
        note(self.how)
        match self.how:
            case "raise":
                raise RuntimeError("this defense\nis broken")
            case "interrupt":
                raise KeyboardInterrupt
            case "leave":
                raise SystemExit(0)
            case "starve":
                starve()
            case "starve-once" if Path(os.environ["TINY_LOG"]).read_text().count("starve-once") == 1:
                starve()
            case "hang":
                time.sleep(600)
            case "freeze":
                ctypes.PyDLL(None).sleep(600)  # keeps the interpreter's lock
            case "exit":
                os._exit(7)
            case "vanish":
                os._exit(0)
            case "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            case "segfault":
                ctypes.string_at(0)
            case "hoard":
                hoard()
            case "pollute":
                torch.set_default_dtype(torch.float64)
            case "big":
                context.note("filler", list(range(100_000)))
        return model


def starve():
    """What torch raises when a GPU is out of memory."""
    raise torch.cuda.OutOfMemoryError("CUDA out of memory")


def hoard():
    """Take memory until there is none, with a limit 256 MiB above what this process has."""
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + 2**28, resource.RLIM_INFINITY))
    hoarded = []
    while True:
        hoarded.append(bytearray(2**24))
