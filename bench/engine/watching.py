"""Progress by default in Python: a live display where a person watches, in a terminal or a notebook; else nothing."""

import io
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console

from bench.engine.display import Screen, Silent
from bench.engine.executor import Outcome
from bench.engine.scheduler import Listener
from bench.plan.stages import Stage

_EVERY = 0.5  # seconds between two pictures in a notebook
_WIDTH = 100  # characters of one


@contextmanager
def watched(listener: Listener | None) -> Iterator[Listener]:
    """The listener of a run that was given this one: itself, or the display that suits whoever watches."""
    if listener is not None:
        yield listener
    elif (shell := _notebook()) is not None:
        with Notebook(shell) as notebook:
            yield notebook
    elif sys.stderr is not None and sys.stderr.isatty():
        with Screen(Console(stderr=True)) as screen:
            yield screen
    else:
        yield Silent()


def _notebook() -> Any:
    """IPython's function ``display`` in a kernel; None elsewhere, also in IPython on a terminal."""
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return None if getattr(shell, "kernel", None) is None else sys.modules["IPython.display"].display


class Notebook(Screen):
    """As ``Screen``, in a notebook: the picture is one output of the cell, which changes. ``display``: IPython's.

    There is none where nothing is to be done, and none of what was interrupted seems to run on.
    """

    def __init__(self, display: Any) -> None:
        self._over = False
        super().__init__(Console(file=sys.stdout, width=_WIDTH, force_jupyter=False, color_system=None))
        self._display, self._shown = display, 0.0
        self._handle: Any = None

    def __enter__(self) -> "Notebook":
        return self

    def __exit__(self, *_: object) -> None:
        self._over = True
        self.running.clear()
        self._update()

    def note(self, line: str) -> None:
        super().note(line.replace("Ctrl-C", "interrupting"))  # nobody presses that in a notebook

    def begin(self, stages: list[Stage], slots: int) -> None:
        super().begin(stages, slots)
        self._update()

    def told_end(self, outcome: Outcome) -> None:
        """Stages that are done are counted in the picture: their lines would stay below the cell of the notebook."""
        if outcome.status != "done" or outcome.log:
            super().told_end(outcome)

    def tick(self, progress: list[float]) -> None:
        super().tick(progress)
        if time.monotonic() - self._shown > _EVERY:
            self._update()

    def ended(self, outcome: Outcome) -> None:
        super().ended(outcome)
        self._update()  # the inline executor has no ticks while a stage runs

    def left_told(self, now: float) -> str:
        return "stopped" if self._over and self.remaining else super().left_told(now)

    def _update(self) -> None:
        self._shown = time.monotonic()
        if self._handle is not None:
            self._handle.update(self._picture(), raw=True)
        elif self.keys:
            self._handle = self._display(self._picture(), raw=True, display_id=True)

    def _picture(self) -> dict[str, str]:
        console = Console(file=io.StringIO(), width=_WIDTH, force_jupyter=False, color_system=None)
        with console.capture() as captured:
            console.print(self._render())
        return {"text/plain": captured.get().rstrip()}
