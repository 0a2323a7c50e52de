"""What the user sees while stages run: a live display on a terminal, plain lines in a pipe or a log."""

import time
from collections.abc import Collection, Iterable
from contextlib import suppress

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from bench import provenance
from bench.engine.clock import OR_MORE, Clock, spoken
from bench.engine.executor import Outcome
from bench.engine.left import open_ended, time_left
from bench.plan.stages import Stage, VictimStage
from bench.records import Record
from bench.records.texts import neutral

FIGURES = {"acc": "ACC", "asr": "ASR", "ra": "RA", "der": "DER", "acc_before": "ACC", "asr_before": "ASR"}
FIGURES |= {"asr_benign": "ASR"}  # of what was measured of a stage, those that are told when it ends
HEARTBEAT = 60.0  # seconds without a line after which a pipe is told what runs
MOST_NAMED = 3  # of the stages that run
LONGEST = 10_000  # characters of a line


class Silent:
    """A listener that shows nothing."""

    def note(self, line: str) -> None: ...
    def known(self, records: Collection[Record]) -> None: ...
    def begin(self, stages: list[Stage], slots: int) -> None: ...
    def started(self, slot: int, stage: Stage) -> None: ...
    def put_back(self, slot: int, stage: Stage) -> None: ...
    def ended(self, outcome: Outcome) -> None: ...
    def tick(self, progress: list[float]) -> None: ...


class Lines:
    """Prints a line when a stage ends, and one now and then while none does: for pipes and logs.

    ``verbose``: also when a stage begins. ``dated``: the time stands before every line.
    """

    def __init__(self, console: Console, *, verbose: bool = False, dated: bool = False) -> None:
        self.console, self.verbose, self.dated = console, verbose, dated
        self.clock = Clock()
        self.slots = 1
        self.keys: set[str] = set()  # of all stages; a damaged victim that is made again is added
        self.ended_keys: set[str] = set()
        self.remaining: dict[str, Stage] = {}
        self.running: dict[int, tuple[Stage, float]] = {}
        self.progress: list[float] = []
        self.began = self._said = time.perf_counter()

    @property
    def total(self) -> int:
        return len(self.keys)

    @property
    def done(self) -> int:
        return len(self.ended_keys)

    def note(self, line: str) -> None:
        self._print(line)

    def known(self, records: Collection[Record]) -> None:
        self.clock.remember(records)

    def begin(self, stages: list[Stage], slots: int) -> None:
        self.slots = slots
        self.remaining = {stage.key: stage for stage in stages}
        self.keys = set(self.remaining)
        self.told_begin()

    def told_begin(self) -> None:
        """Say how much is to be done."""
        self._print(f"{self.total} stages to do, {self.slots} at a time")

    def started(self, slot: int, stage: Stage) -> None:
        self.keys.add(stage.key)
        self.ended_keys.discard(stage.key)  # a stage that was done is done again if it is damaged
        self.remaining[stage.key] = stage
        self.running[slot] = stage, time.perf_counter()
        if self.verbose:
            self._print(f"{stage.title}: begins in slot {slot}")

    def put_back(self, slot: int, stage: Stage) -> None:
        self.running.pop(slot, None)

    def ended(self, outcome: Outcome) -> None:
        if outcome.slot in self.running and self.running[outcome.slot][0].key == outcome.stage.key:
            del self.running[outcome.slot]  # not so of one that was never started
        self.remaining.pop(outcome.stage.key, None)
        if outcome.status == "done" and outcome.seconds:  # 0: another run has done it
            self.clock.learn(outcome.stage, outcome.seconds)
        self.ended_keys.add(outcome.stage.key)
        self.told_end(outcome)

    def told_end(self, outcome: Outcome) -> None:
        """Say how a stage ended, and below it what its plugin said, so that nobody waits for the table."""
        width = len(str(self.total))
        self._print(f"[{self.done:{width}}/{self.total} {_clock(time.perf_counter() - self.began)}] {told(outcome)}")
        for line in outcome.log:
            self._print(f"  {outcome.stage.title} says: {line}")

    def tick(self, progress: list[float]) -> None:
        self.progress = progress
        if self.running and time.perf_counter() - self._said >= HEARTBEAT:
            self._print(self._alive())

    def left(self) -> tuple[float | None, bool]:
        """Expected seconds left, or None before anything was measured from which they follow; whether it may be more.

        It may where nothing like a stage has ended before, or a stage runs longer than its like.
        """
        if not self.remaining:
            return None, False
        now = time.perf_counter()
        running = {stage.key: (now - began, self._share(slot)) for slot, (stage, began) in self.running.items()}
        waiting = sorted(self.remaining.values(), key=lambda stage: not isinstance(stage, VictimStage))
        seconds = time_left(self.clock, waiting, self.slots, running)
        return seconds, seconds is not None and open_ended(self.clock, waiting, running)

    def _share(self, slot: int) -> float:
        return self.progress[slot] if slot < len(self.progress) else 0.0

    def _alive(self) -> str:
        """What runs, how far it is, and how long all may still take."""
        now, (left, more) = time.perf_counter(), self.left()
        parts = []
        for slot, (stage, began) in sorted(self.running.items())[:MOST_NAMED]:
            share = f" {self._share(slot):.0%}" if self._share(slot) else ""
            parts.append(f"{stage.title}{share} for {spoken(now - began)}")
        if len(self.running) > MOST_NAMED:
            parts.append(f"and {len(self.running) - MOST_NAMED} more")
        until = "" if left is None else f"; left about {spoken(left)}{OR_MORE * more}"
        return f"{self.done}/{self.total} stages after {spoken(now - self.began)}; running: {', '.join(parts)}{until}"

    def _print(self, line: str) -> None:
        self._said = time.perf_counter()
        line = neutral(line[:LONGEST]).replace("\n", " ")
        stamp = f"{provenance.now()} " if self.dated else ""
        self.console.print(f"{stamp}{line}", markup=False, highlight=False, soft_wrap=True)


class Screen(Lines):
    """Shows how many stages are done, what runs now, and the time elapsed and left, below the lines of what is over."""

    def __init__(self, console: Console, *, verbose: bool = False) -> None:
        super().__init__(console, verbose=verbose)
        self._left: tuple[str, float] = "", 0.0  # what was shown last, and until when it stands
        self.live = Live(console=console, refresh_per_second=5, get_renderable=self._render, transient=True)

    def __enter__(self) -> "Screen":
        self.live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.live.stop()

    def told_begin(self) -> None: ...

    def tick(self, progress: list[float]) -> None:
        self.progress = progress

    def _render(self) -> Group:
        now = time.perf_counter()
        head = Table.grid(padding=(0, 1))
        head.add_row(
            Text(f"{self.done}/{self.total} stages", style="bold"),
            ProgressBar(total=max(1, self.total), completed=self.done, width=30),
            Text(f"elapsed {_clock(now - self.began)}"),
            Text(self.left_told(now), style="cyan"),
        )
        rows = Table.grid(padding=(0, 1))
        for slot, (stage, began) in sorted(self.running.items()):
            done = self._share(slot)
            rows.add_row(
                Text("▸", style="cyan"),
                Text(neutral(stage.title)),
                Text(f"{done:4.0%}" if done else "", style="dim"),
                Text(_clock(now - began), style="dim"),
            )
        return Group(head, rows)

    def left_told(self, now: float) -> str:
        """How long it will still take, in words; nothing when all is done."""
        return "" if self.keys and not self.remaining else self._left_for_a_while(now)

    def _left_for_a_while(self, now: float) -> str:
        """The expected time left, looked at so seldom that it costs little where there are very many stages."""
        words, until = self._left
        if now < until:
            return words
        left, more = self.left()
        words = "left …" if left is None else f"left about {_clock(left)}{OR_MORE * more}"
        self._left = words, now + min(5.0, 20 * (time.perf_counter() - now))
        return words


class Several:
    """Listeners that are all told the same; ``clock`` is the first one's that has one."""

    def __init__(self, listeners: Iterable[Silent | Lines]) -> None:
        self.listeners = list(listeners)
        clocks = [one.clock for one in self.listeners if isinstance(one, Lines)]
        self.clock = clocks[0] if clocks else Clock()

    def note(self, line: str) -> None:
        for one in self.listeners:
            one.note(line)

    def known(self, records: Collection[Record]) -> None:
        for one in self.listeners:
            one.known(records)

    def begin(self, stages: list[Stage], slots: int) -> None:
        for one in self.listeners:
            one.begin(stages, slots)

    def started(self, slot: int, stage: Stage) -> None:
        for one in self.listeners:
            one.started(slot, stage)

    def put_back(self, slot: int, stage: Stage) -> None:
        for one in self.listeners:
            one.put_back(slot, stage)

    def ended(self, outcome: Outcome) -> None:
        for one in self.listeners:
            one.ended(outcome)

    def tick(self, progress: list[float]) -> None:
        for one in self.listeners:
            one.tick(progress)


def told(outcome: Outcome) -> str:
    """How a stage ended, in one line: what was measured of it in per cent, why it failed, and how long it took."""
    figures = []
    for name, value in outcome.measured.items():
        if name in FIGURES:
            with suppress(TypeError, ValueError):
                figures += [f"{FIGURES[name]} {100 * value:.1f}"] if value == value else []
    reason = f": {outcome.reason}" if outcome.reason else ""
    measured = f", {' '.join(figures)}" if figures else ""
    return f"{outcome.stage.title}: {outcome.status}{reason}{measured} ({outcome.seconds:.1f} s)"


def _clock(seconds: float) -> str:
    whole = int(seconds)
    hours, minutes = whole // 3600, whole // 60 % 60
    return f"{hours}:{minutes:02}:{whole % 60:02}" if hours else f"{minutes}:{whole % 60:02}"
