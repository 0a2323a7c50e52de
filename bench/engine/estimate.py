"""How long a run may take, before it starts: by what like stages have taken, else by a few steps of training."""

from collections.abc import Collection, Sequence
from pathlib import Path

from bench.engine.clock import USUAL_SHARE, Clock, setting_of, spoken, time_left
from bench.errors import Damaged
from bench.plan.plan import Plan
from bench.plan.stages import Stage, VictimStage
from bench.records import Record
from bench.store.store import Store

MOST_READ = 300  # records of other requests that are looked at


class Estimate:
    """What is known of the durations of a plan's stages. It teaches ``clock``, which may have learned something."""

    def __init__(self, clock: Clock | None = None) -> None:
        self.clock = clock or Clock()
        self.records = 0
        self.timed: list[str] = []

    def look_at(self, records: Collection[Record]) -> None:
        """Learn from the records of finished cells."""
        self.records += self.clock.remember(records)

    def time_steps(self, plan: Plan, stages: Collection[Stage], data: Path, threads: int = 1) -> None:
        """Train a few steps on this machine's CPU, for every setting whose victims nothing is known of.

        This is left out for plugins that are not built in, and where the training itself is short.
        """
        from bench.cell.timed_steps import training_seconds

        for victim in {setting_of(one): one for one in stages if isinstance(one, VictimStage)}.values():
            if self.clock.knows(setting_of(victim)):
                continue
            seconds = training_seconds(plan, victim, data, threads)
            if seconds is not None:
                self.clock.assume(setting_of(victim), seconds)
                self.timed.append(victim.model.label)

    def seconds(self, stages: Sequence[Stage], slots: int) -> float | None:
        """Expected seconds, with so many stages at a time; None where nothing is known of some of them."""
        return time_left(self.clock, stages, slots) if stages else 0.0

    @property
    def source(self) -> str:
        """What the estimate goes by, in words."""
        parts = []
        if self.records:
            parts.append(f"{self.records} record{'s' * (self.records > 1)} of the store")
        if self.timed:
            parts.append(f"a few steps of training {', '.join(sorted(set(self.timed)))}, timed now")
        guess = "" if self.records else f"; a defense is taken for {USUAL_SHARE:.0%} of a training"
        return f"by {' and '.join(parts)}{guess}" if parts else ""

    def line(self, stages: Sequence[Stage], slots: int) -> str | None:
        """The estimate for a person; None where there is none."""
        seconds = self.seconds(stages, slots)
        if not stages or seconds is None:
            return None
        at_a_time = f", {slots} at a time" if slots > 1 else ""
        return f"this may take about {spoken(seconds)}: {len(stages)} stages{at_a_time} ({self.source})"


def others(store: Store, known: Collection[str]) -> list[Record]:
    """Some of the store's records of finished cells whose keys are not ``known``; damaged ones are left out."""
    keys = [key for key in store.keys("cells") if key not in known]
    found = []
    for key in keys[:: max(1, -(-len(keys) // MOST_READ))]:
        try:
            record = store.record(key)
        except Damaged:
            continue
        if record is not None:
            found.append(record)
    return found
