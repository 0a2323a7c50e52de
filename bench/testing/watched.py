"""Run a plugin's code and see what it leaves behind: state of the process, random numbers drawn, texts printed."""

import io
import os
import random
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from bench.cell.apart.seeds import seed_all
from bench.engine.process_state import Snapshot


@dataclass(frozen=True)
class Watched:
    """What became of a call. ``drawn``: the global generators that it has drawn from or seeded."""

    value: Any = None
    error: BaseException | None = None
    changes: tuple[str, ...] = ()
    drawn: tuple[str, ...] = ()
    printed: str = ""


def watched(call: Callable[[], Any]) -> Watched:
    """Call it, as in a stage: with seeded global generators, and with everything put back that it changes.

    Only KeyboardInterrupt is passed on.
    """
    value, error, text = None, None, _Text()
    with _captured(text):
        before = Snapshot.take()
        generators = _generators(seeded=True)
        try:
            value = call()
        except KeyboardInterrupt:
            raise
        except BaseException as raised:  # whatever a plugin raises is what was found of it
            error = raised
        finally:
            changes, drawn = before.changes(), _drawn(generators)
            if changes:  # else there is nothing to put back
                before.restore()
    return Watched(value, error, changes, drawn, text.all)


@dataclass
class _Text:
    all: str = ""


@contextmanager
def _captured(text: _Text) -> Iterator[None]:
    """While open, what is printed goes to ``text``, also what C code prints."""
    sys.stdout.flush()
    sys.stderr.flush()
    stream = io.StringIO()
    with tempfile.TemporaryFile() as file:
        copies = {number: os.dup(number) for number in (1, 2)}
        try:
            for number in copies:
                os.dup2(file.fileno(), number)
            with redirect_stdout(stream), redirect_stderr(stream):
                yield
        finally:
            for number, copy in copies.items():
                os.dup2(copy, number)
                os.close(copy)
            file.seek(0)
            text.all = stream.getvalue() + file.read().decode(errors="replace")


def _generators(*, seeded: bool = False) -> dict[str, Any]:
    if seeded:
        seed_all(0)
    keys: Any = np.random.get_state(legacy=True)  # noqa: NPY002 - the global generator is what is looked at
    return {
        "torch": torch.get_rng_state().numpy().tobytes(),
        "numpy": (keys[0], np.asarray(keys[1]).tobytes(), *keys[2:]),
        "random": random.getstate(),
    }


def _drawn(before: dict[str, Any]) -> tuple[str, ...]:
    return tuple(name for name, state in _generators().items() if state != before[name])
