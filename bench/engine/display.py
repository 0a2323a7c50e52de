"""What the user sees while stages run: a live display on a terminal, plain lines in a pipe."""

import math
import time
from collections import Counter, defaultdict
from collections.abc import Collection

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from bench.engine.executor import Outcome
from bench.plan.stages import CellStage, NaturalStage, Stage
from bench.records import Record


class Silent:
    """A listener that shows nothing."""

    def note(self, line: str) -> None: ...
    def known(self, records: Collection[Record]) -> None: ...
    def begin(self, stages: list[Stage], slots: int) -> None: ...
    def started(self, slot: int, stage: Stage) -> None: ...
    def put_back(self, slot: int, stage: Stage) -> None: ...
    def ended(self, outcome: Outcome) -> None: ...
    def tick(self, progress: list[float]) -> None: ...


class Clock:
    """How long a stage may take: the mean of earlier stages of the same plugin, else of the same kind, else of all."""

    def __init__(self) -> None:
        self._seconds: dict[str, float] = defaultdict(float)
        self._count: Counter[str] = Counter()

    def learn(self, stage: Stage, seconds: float) -> None:
        """Take in what a stage has taken."""
        self._add(*_names(stage), seconds)

    def remember(self, records: Collection[Record]) -> None:
        """Take in what stages of earlier runs have taken, by the records of their cells. A victim counts once."""
        for record in records:
            if record.status == "done":
                self._add(f"defense {record.defense}", "cell", record.defense_seconds + record.inference_seconds)
        for record in {record.victim_key: record for record in records if record.status == "done"}.values():
            self._add(f"attack {record.attack}", "victim", record.train_seconds)

    def expect(self, stage: Stage) -> float | None:
        """Seconds, or None before anything was measured."""
        for name in (*_names(stage), ""):
            if self._count[name]:
                return self._seconds[name] / self._count[name]
        return None

    def _add(self, plugin: str, kind: str, seconds: float) -> None:
        if not math.isnan(seconds):
            for name in (plugin, kind, ""):
                self._seconds[name] += seconds
                self._count[name] += 1


class Lines:
    """Prints a line when a stage ends: for pipes and logs."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.keys: set[str] = set()  # of all stages; a damaged victim that is made again is added
        self.ended_keys: set[str] = set()
        self.began = time.perf_counter()

    @property
    def total(self) -> int:
        return len(self.keys)

    @property
    def done(self) -> int:
        return len(self.ended_keys)

    def note(self, line: str) -> None:
        self._print(line)

    def known(self, records: Collection[Record]) -> None: ...

    def begin(self, stages: list[Stage], slots: int) -> None:
        self.keys = {stage.key for stage in stages}
        self._print(f"{self.total} stages to do, {slots} at a time")

    def started(self, slot: int, stage: Stage) -> None:
        self.keys.add(stage.key)
        self.ended_keys.discard(stage.key)  # a stage that was done is done again if it is damaged

    def put_back(self, slot: int, stage: Stage) -> None: ...

    def ended(self, outcome: Outcome) -> None:
        self.ended_keys.add(outcome.stage.key)
        reason = f": {outcome.reason}" if outcome.reason else ""
        width = len(str(self.total))
        head = f"[{self.done:{width}}/{self.total} {_clock(time.perf_counter() - self.began)}]"
        self._print(f"{head} {outcome.stage.title}: {outcome.status}{reason} ({outcome.seconds:.1f} s)")
        self._print_log(outcome)

    def tick(self, progress: list[float]) -> None: ...

    def _print_log(self, outcome: Outcome) -> None:
        """What a plugin said of its stage is printed below it, so that nobody waits for the table."""
        for line in outcome.log:
            self._print(f"  {outcome.stage.title} says: {line}")

    def _print(self, line: str) -> None:
        self.console.print(line, markup=False, highlight=False, soft_wrap=True)


class Screen(Lines):
    """Shows how many stages are done, what runs now, and the time elapsed and left; failures stay as lines above."""

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self.slots = 1
        self.clock = Clock()
        self.remaining: dict[str, Stage] = {}
        self.running: dict[int, tuple[Stage, float]] = {}
        self.progress: list[float] = []
        self.live = Live(console=console, refresh_per_second=5, get_renderable=self._render, transient=True)

    def __enter__(self) -> "Screen":
        self.live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.live.stop()

    def known(self, records: Collection[Record]) -> None:
        self.clock.remember(records)

    def begin(self, stages: list[Stage], slots: int) -> None:
        self.slots = slots
        self.remaining = {stage.key: stage for stage in stages}
        self.keys = set(self.remaining)

    def started(self, slot: int, stage: Stage) -> None:
        super().started(slot, stage)
        self.remaining[stage.key] = stage
        self.running[slot] = stage, time.perf_counter()

    def put_back(self, slot: int, stage: Stage) -> None:
        self.running.pop(slot, None)

    def ended(self, outcome: Outcome) -> None:
        self.running.pop(outcome.slot, None)
        self.remaining.pop(outcome.stage.key, None)
        if outcome.status == "done":
            if outcome.seconds:  # 0: another run has done it
                self.clock.learn(outcome.stage, outcome.seconds)
            self.ended_keys.add(outcome.stage.key)
            self._print_log(outcome)
        else:
            super().ended(outcome)

    def tick(self, progress: list[float]) -> None:
        self.progress = progress

    def left(self) -> float | None:
        """Expected seconds left, or None before anything was measured."""
        now = time.perf_counter()
        expected = {key: self.clock.expect(stage) for key, stage in self.remaining.items()}
        if not expected or any(value is None for value in expected.values()):
            return None
        spent = {stage.key: now - began for stage, began in self.running.values()}
        total = sum(max(0.0, (value or 0.0) - spent.get(key, 0.0)) for key, value in expected.items())
        return total / max(1, self.slots)

    def _render(self) -> Group:
        now = time.perf_counter()
        left = self.left() if self.total else None
        head = Table.grid(padding=(0, 1))
        head.add_row(
            Text(f"{self.done}/{self.total} stages", style="bold"),
            ProgressBar(total=max(1, self.total), completed=self.done, width=30),
            Text(f"elapsed {_clock(now - self.began)}"),
            Text(f"left about {_clock(left)}" if left is not None else "left …", style="cyan"),
        )
        rows = Table.grid(padding=(0, 1))
        for slot, (stage, began) in sorted(self.running.items()):
            done = self.progress[slot] if slot < len(self.progress) else 0.0
            rows.add_row(
                Text("▸", style="cyan"),
                Text(stage.title),
                Text(f"{done:4.0%}" if done else "", style="dim"),
                Text(_clock(now - began), style="dim"),
            )
        return Group(head, rows)


def _names(stage: Stage) -> tuple[str, str]:
    """What a stage's time mostly depends on, and its kind."""
    if isinstance(stage, CellStage):
        return f"defense {stage.defense.name}", "cell"
    if isinstance(stage, NaturalStage):
        return "natural", "defense none"  # one inference, as a cell without a defense
    return f"attack {stage.attack.name}", "victim"


def _clock(seconds: float) -> str:
    whole = int(seconds)
    hours, minutes = whole // 3600, whole // 60 % 60
    return f"{hours}:{minutes:02}:{whole % 60:02}" if hours else f"{minutes}:{whole % 60:02}"
