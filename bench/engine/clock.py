"""How long stages may take, by what others have taken.

Victims of one setting (data set, architecture, recipe) take about equally long, whatever attacks them. A defense takes
a share of its victim's training that differs between defenses more than between settings: so a defense that was seen
in another setting is expected to take the same share, and one that was never seen the usual share. The parameters of a
defense may change its duration a hundredfold: what it took with others is a guess, and is said to be one.

What ended in this run counts alone beside what records say of its like, and says how fast this run is against them.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable
from copy import copy
from math import isnan

from bench import provenance
from bench.plan.stages import CellStage, NaturalStage, Stage, VictimStage
from bench.records import Record

# Of a victim's training: what a cell is at least expected to take while its defense was not seen. The means of the
# records in docs/results are 0.21 to 0.23 (cifar10, cifar10-small, quick); a few dear defenses, such as bna, lift them.
USUAL_SHARE = 0.17
USUAL_OF = 6  # as many defenses as this counts for beside those that were seen: the dearest may be the first ones
# Seconds that count as taken and as expected beside those of stages: to start one takes longer than the shortest do
PRIOR_SECONDS = 10.0
CONTROL = "none"  # the defense that changes nothing says nothing of what others take

OR_MORE = " or more"  # behind a duration of which some is a guess

Setting = tuple[str, str, str]
Variant = tuple[str, str]  # the name of a defense; its parameters and what it is given


class _Mean:
    """A mean of durations. ``own``: they are of this run; they take the place of others."""

    def __init__(self) -> None:
        self.total, self.count, self.own = 0.0, 0, False

    def add(self, value: float, *, own: bool) -> None:
        if own and not self.own:
            self.total, self.count, self.own = 0.0, 0, True
        if own == self.own:
            self.total, self.count = self.total + value, self.count + 1

    @property
    def value(self) -> float:
        return self.total / self.count


class Clock:
    """Learns what stages take, in seconds, and says what others may take. ``records``: how many it has learned from."""

    def __init__(self) -> None:
        self.records = 0
        self._victims: dict[tuple[Setting, str], _Mean] = defaultdict(_Mean)  # by the name of the attack
        self._cells: dict[tuple[Setting, Variant], _Mean] = defaultdict(_Mean)
        self._natural = _Mean()
        self._assumed: dict[Setting, float] = {}
        self._expected_by_records, self._taken = 0.0, 0.0  # by stages whose like the records have
        self._answers: dict[tuple[str, Setting, Variant], float | None] = {}  # until something is learned

    def learn(self, stage: Stage, seconds: float) -> None:
        """Take in what a stage of this run has taken."""
        self._answers.clear()
        if isinstance(stage, NaturalStage):
            mean = self._natural
        elif isinstance(stage, CellStage):
            mean = self._cells[setting_of(stage.victim), variant_of(stage)]
        else:
            mean = self._victims[setting_of(stage), stage.attack.name]
        if mean.count and not mean.own:
            self._expected_by_records += mean.value
            self._taken += seconds
        mean.add(seconds, own=True)

    def remember(self, records: Collection[Record]) -> None:
        """Take in what stages of earlier runs have taken, by the records of their cells.

        A victim counts once. Records of other machines count only where there are none of this one.
        """
        self._answers.clear()
        done = [record for record in records if record.status == "done"]
        own = [record for record in done if record.host == provenance.host()] or done
        for record in own:
            seconds = record.defense_seconds + record.inference_seconds
            if not isnan(seconds):
                self._cells[_setting_of_record(record), _variant_of_record(record)].add(seconds, own=False)
        for record in {record.victim_key: record for record in own}.values():
            if not isnan(record.train_seconds):
                self._victims[_setting_of_record(record), record.attack].add(record.train_seconds, own=False)
        self.records += len(own)

    def assume(self, setting: Setting, seconds: float) -> None:
        """What a victim of this setting may take, as long as none was seen."""
        self._answers.clear()
        self._assumed[setting] = seconds

    def assuming(self, setting: Setting, seconds: float) -> "Clock":
        """A clock that has learned what this one has, and assumes this too."""
        other = copy(self)
        other._answers, other._assumed = {}, {**self._assumed, setting: seconds}
        return other

    def knows(self, setting: Setting) -> bool:
        """Whether a victim of this setting was seen, or a guess was made at it."""
        return setting in self._assumed or any(known == setting for known, _ in self._victims)

    def has_seen(self, cell: CellStage) -> bool:
        """Whether a cell of this setting and this defense, with its parameters, has ended."""
        return (setting_of(cell.victim), variant_of(cell)) in self._cells

    def of_this_run(self, cell: CellStage) -> tuple[float, int]:
        """The seconds of the cells of this setting and variant that ended in this run, and their number."""
        mean = self._cells.get((setting_of(cell.victim), variant_of(cell)))
        return (mean.total, mean.count) if mean is not None and mean.own else (0.0, 0)

    def has_seen_otherwise(self, cell: CellStage) -> bool:
        """Whether a cell of this defense has ended, with whatever parameters."""
        return any(name == cell.defense.name for _, (name, _) in self._cells)

    def guesses(self, stage: Stage) -> bool:
        """Whether nothing like this stage has ended anywhere: it may take far longer than is expected."""
        if isinstance(stage, CellStage):
            own = variant_of(stage)
            return own[0] != CONTROL and not any(variant == own for _, variant in self._cells)
        return isinstance(stage, VictimStage) and not self.knows(setting_of(stage))

    def expect(self, stage: Stage) -> float | None:
        """Seconds, or None before anything was learned from which this could follow."""
        asked: tuple[str, Setting, Variant]
        if isinstance(stage, NaturalStage):
            asked = "natural", setting_of(stage.victim), (CONTROL, "")
        elif isinstance(stage, CellStage):
            asked = "cell", setting_of(stage.victim), variant_of(stage)
        else:
            asked = "victim", setting_of(stage), (stage.attack.name, "")
        if asked not in self._answers:
            self._answers[asked] = self._expected(*asked)
        return self._answers[asked]

    def _expected(self, kind: str, setting: Setting, variant: Variant) -> float | None:
        if kind == "victim":
            return self._victim(setting, variant[0])
        if kind == "natural" and self._natural.count:
            return self._natural.value
        return self._cell(setting, variant)

    def _victim(self, setting: Setting, attack: str = "") -> float | None:
        if (setting, attack) in self._victims:
            return self._now(self._victims[setting, attack])
        own = self._seen(setting)
        if own is not None:
            return own
        if setting in self._assumed:
            return self._assumed[setting]
        return _mean(map(self._now, self._victims.values()))

    def _cell(self, setting: Setting, variant: Variant) -> float | None:
        name, victim = variant[0], self._victim(setting)
        if (setting, variant) in self._cells:
            return self._now(self._cells[setting, variant])
        share = _mean(self._shares(lambda other: other == variant))
        if victim is not None and share is not None:
            return share * victim
        own = _mean(
            self._now(mean) for (known, other), mean in self._cells.items() if (known, other[0]) == (setting, name)
        )
        if own is not None:
            return own
        if victim is None:
            return _mean(self._now(mean) for (_, other), mean in self._cells.items() if other[0] != CONTROL)
        share = _mean(self._shares(lambda other: other[0] == name))
        if share is None and name == CONTROL:
            share = 0.0
        if share is None:
            seen = self._shares(lambda other: other[0] != CONTROL)
            share = max(USUAL_SHARE, (USUAL_OF * USUAL_SHARE + sum(seen)) / (USUAL_OF + len(seen)))
        return share * victim

    def _shares(self, counts: Callable[[Variant], bool]) -> list[float]:
        """What cells have taken, as shares of the training of a victim of their setting."""
        return [
            self._now(mean) / victim
            for (setting, variant), mean in self._cells.items()
            if counts(variant) and (victim := self._seen(setting))
        ]

    def _seen(self, setting: Setting) -> float | None:
        return _mean(self._now(mean) for (known, _), mean in self._victims.items() if known == setting)

    def _now(self, mean: _Mean) -> float:
        """A mean in seconds of this run, which may be slower or faster than those that the records are of."""
        if mean.own:
            return mean.value
        return mean.value * (PRIOR_SECONDS + self._taken) / (PRIOR_SECONDS + self._expected_by_records)


def setting_of(victim: VictimStage) -> Setting:
    """What victims that take about equally long have in common."""
    return victim.dataset.label, victim.model.label, victim.recipe


def variant_of(cell: CellStage) -> Variant:
    """What cells that take about equally long in one setting have in common."""
    return cell.defense.name, f"{cell.defense.spelled} {cell.reference} {cell.suspects}"


def _variant_of_record(record: Record) -> Variant:
    return record.defense, f"{record.defense_params} {record.reference} {record.suspects}"


def _setting_of_record(record: Record) -> Setting:
    return record.dataset_label, record.model_label, record.recipe


def _mean(values: Iterable[float]) -> float | None:
    found = list(values)
    return sum(found) / len(found) if found else None


def spoken(seconds: float) -> str:
    """A duration as a person says it, such as "3 min" or "2 h 10 min"."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes} min"
    hours, rest = divmod(minutes, 60)
    if hours < 36:
        return f"{hours} h {rest} min" if rest else f"{hours} h"
    return f"{round(hours / 24, 1):g} days"
