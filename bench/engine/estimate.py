"""How long a run may take, before it starts: by what like stages have taken, else by a few steps of training."""

from collections.abc import Collection, Sequence
from pathlib import Path

from bench.engine.clock import OR_MORE, USUAL_SHARE, Clock, setting_of, spoken
from bench.engine.left import open_ended, time_left
from bench.errors import Damaged
from bench.plan.plan import Plan
from bench.plan.stages import CellStage, Stage, VictimStage
from bench.records import Record
from bench.store.store import Store

MOST_READ = 300  # records of other requests that are looked at
MOST_NAMED = 5  # of the defenses that nothing is known of


class Estimate:
    """What ``clock`` knows of the durations of a plan's stages, and what a few steps teach it."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.timed: list[str] = []

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

    def open_ended(self, stages: Collection[Stage]) -> bool:
        """Whether it may take far longer: nothing like some of the stages has ended before."""
        return open_ended(self.clock, stages)

    def source(self, stages: Collection[Stage]) -> str:
        """What the estimate goes by, and what it knows nothing of, in words."""
        parts = []
        records = self.clock.records
        if records:
            parts.append(f"{records} record{'s' * (records > 1)} of the store")
        if self.timed:
            parts.append(f"a few steps of training {', '.join(sorted(set(self.timed)))}, timed now")
        if not parts:
            return ""
        usual = f"a defense is taken for {USUAL_SHARE:.0%} of a training"
        return "; ".join([f"by {' and '.join(parts)}", *(self._unknown(stages) if records else [usual])])

    def _unknown(self, stages: Collection[Stage]) -> list[str]:
        """Which defenses were not seen with the parameters, or the images, that they are given now; and which never."""
        cells = {
            stage.defense.name: stage for stage in stages if isinstance(stage, CellStage) and self.clock.guesses(stage)
        }
        seen = [name for name, cell in cells.items() if self.clock.has_seen_otherwise(cell)]
        never = [name for name in cells if name not in seen]
        words = [f"{_listed(seen)} had other parameters or images"] if seen else []
        return [*words, *([f"nothing is known of {_listed(never)}"] if never else [])]

    def line(self, stages: Sequence[Stage], slots: int) -> str | None:
        """The estimate for a person; None where there is none."""
        seconds = self.seconds(stages, slots)
        if not stages or seconds is None:
            return None
        at_a_time = f", {slots} at a time" if slots > 1 else ""
        more = OR_MORE * self.open_ended(stages)
        return f"this may take about {spoken(seconds)}{more}: {len(stages)} stages{at_a_time} ({self.source(stages)})"


def estimate(
    clock: Clock, plan: Plan, stages: Collection[Stage], data: Path, devices: Collection[str], threads: int = 1
) -> Estimate:
    """What ``clock`` knows of ``stages``; a few steps are timed where it knows nothing and they run on this CPU."""
    made = Estimate(clock)
    if stages and set(devices) == {"cpu"}:
        made.time_steps(plan, stages, data, threads)
    return made


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


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return f"{', '.join(names[:MOST_NAMED])}{more}"
