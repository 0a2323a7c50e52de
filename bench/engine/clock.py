"""How long stages may take, by what others have taken; and how long all that is left may take.

Victims of one setting (data set, architecture, recipe) take about equally long, whatever attacks them. A defense takes
a share of its victim's training that differs between defenses more than between settings: so a defense that was seen
in another setting is expected to take the same share, and one that was never seen the usual share.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from copy import copy
from heapq import heapify, heappop, heappush
from math import isnan

from bench import provenance
from bench.plan.stages import CellStage, NaturalStage, Stage, VictimStage
from bench.records import Record

# Of a victim's training: what a cell is at least expected to take while its defense was not seen. The means of the two
# sets of records in docs/results are 0.08 and 0.21; it is nearer to the larger one, for there one defense took 0.6.
USUAL_SHARE = 0.17
CONTROL = "none"  # the defense that changes nothing says nothing of what others take
OVERDUE = 1.5  # times as long as it has run so far: what a stage takes that has run longer than it was thought
KNOWN = 0.05  # share of a stage from which on its own progress says how long it takes

Setting = tuple[str, str, str]


class _Mean:
    def __init__(self) -> None:
        self.total, self.count = 0.0, 0

    def add(self, value: float) -> None:
        self.total, self.count = self.total + value, self.count + 1

    @property
    def value(self) -> float:
        return self.total / self.count


class Clock:
    """Learns what stages take, in seconds, and says what others may take."""

    def __init__(self) -> None:
        self._victims: dict[tuple[Setting, str], _Mean] = defaultdict(_Mean)  # by the name of the attack
        self._cells: dict[tuple[Setting, str], _Mean] = defaultdict(_Mean)  # by the name of the defense
        self._natural = _Mean()
        self._assumed: dict[Setting, float] = {}
        self._answers: dict[tuple[str, Setting, str], float | None] = {}  # until something is learned

    def learn(self, stage: Stage, seconds: float) -> None:
        """Take in what a stage has taken."""
        self._answers.clear()
        if isinstance(stage, NaturalStage):
            self._natural.add(seconds)
        elif isinstance(stage, CellStage):
            self._cells[setting_of(stage.victim), stage.defense.name].add(seconds)
        else:
            self._victims[setting_of(stage), stage.attack.name].add(seconds)

    def remember(self, records: Collection[Record]) -> int:
        """Take in what stages of earlier runs have taken, by the records of their cells; how many of these were used.

        A victim counts once. Records of other machines count only where there are none of this one.
        """
        self._answers.clear()
        done = [record for record in records if record.status == "done"]
        own = [record for record in done if record.host == provenance.host()] or done
        for record in own:
            seconds = record.defense_seconds + record.inference_seconds
            if not isnan(seconds):
                self._cells[_setting_of_record(record), record.defense].add(seconds)
        for record in {record.victim_key: record for record in own}.values():
            if not isnan(record.train_seconds):
                self._victims[_setting_of_record(record), record.attack].add(record.train_seconds)
        return len(own)

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
        """Whether a cell of this setting and this defense has ended."""
        return (setting_of(cell.victim), cell.defense.name) in self._cells

    def expect(self, stage: Stage) -> float | None:
        """Seconds, or None before anything was learned from which this could follow."""
        if isinstance(stage, NaturalStage):
            asked = "natural", setting_of(stage.victim), ""
        elif isinstance(stage, CellStage):
            asked = "cell", setting_of(stage.victim), stage.defense.name
        else:
            asked = "victim", setting_of(stage), stage.attack.name
        if asked not in self._answers:
            self._answers[asked] = self._expected(*asked)
        return self._answers[asked]

    def _expected(self, kind: str, setting: Setting, name: str) -> float | None:
        if kind == "victim":
            return self._victim(setting, name)
        if kind == "natural":
            return self._natural.value if self._natural.count else self._cell(setting, CONTROL)
        return self._cell(setting, name)

    def _victim(self, setting: Setting, attack: str = "") -> float | None:
        if (setting, attack) in self._victims:
            return self._victims[setting, attack].value
        own = [mean.value for (known, _), mean in self._victims.items() if known == setting]
        if own:
            return sum(own) / len(own)
        if setting in self._assumed:
            return self._assumed[setting]
        return _mean(mean.value for mean in self._victims.values())

    def _cell(self, setting: Setting, defense: str) -> float | None:
        if (setting, defense) in self._cells:
            return self._cells[setting, defense].value
        victim = self._victim(setting)
        if victim is None:
            return _mean(mean.value for (_, name), mean in self._cells.items() if name != CONTROL)
        share = _mean(self._shares(defense))
        if share is None and defense == CONTROL:
            share = 0.0
        if share is None:
            share = max(USUAL_SHARE, _mean(self._shares()) or 0.0)
        return share * victim

    def _shares(self, defense: str = "") -> list[float]:
        """What cells have taken, as shares of the training of a victim of their setting."""
        shares = []
        for (setting, name), mean in self._cells.items():
            if (name == defense or (not defense and name != CONTROL)) and (victim := self._seen(setting)):
                shares.append(mean.value / victim)
        return shares

    def _seen(self, setting: Setting) -> float | None:
        return _mean(mean.value for (known, _), mean in self._victims.items() if known == setting)


def time_left(
    clock: Clock, stages: Collection[Stage], slots: int, running: Mapping[str, tuple[float, float]] | None = None
) -> float | None:
    """Expected seconds until ``stages`` are done, as many at a time as there are slots; None if nothing is known.

    stages: victims first. running: of those that run, by key, the seconds so far and the share that is done. The stages
    are given to slots as these become free, none before its victim is made.
    """
    running = running or {}
    clock = _with_progress(clock, stages, running)
    longer, seconds = _longer_than_thought(clock, stages, running), {}
    for stage in stages:
        expected = clock.expect(stage)
        if expected is None:
            return None
        if longer and isinstance(stage, CellStage):
            expected = max(expected, longer.get((setting_of(stage.victim), stage.defense.name), 0.0))
        seconds[stage.key] = _rest(expected, *running.get(stage.key, (0.0, 0.0)))
    begun = [seconds[stage.key] for stage in stages if stage.key in running]
    free = begun + [0.0] * (slots - len(begun))
    heapify(free)
    ready = {stage.key: seconds[stage.key] for stage in stages if stage.key in running}
    last = max(begun, default=0.0)
    for stage in stages:
        if stage.key in running:
            continue
        begins = max([heappop(free), *(ready.get(parent.key, 0.0) for parent in stage.parents)])
        end = begins + seconds[stage.key]
        heappush(free, end)
        last = max(last, end)
        if isinstance(stage, VictimStage):
            ready[stage.key] = end
    return last


def setting_of(victim: VictimStage) -> Setting:
    """What victims that take about equally long have in common."""
    return victim.dataset.label, victim.model.label, victim.recipe


def _setting_of_record(record: Record) -> Setting:
    return record.dataset_label, record.model_label, record.recipe


def _with_progress(clock: Clock, stages: Iterable[Stage], running: Mapping[str, tuple[float, float]]) -> Clock:
    """The clock; or one that goes by the progress of the victims that run now, where it knows none of their setting."""
    for stage in stages if running else ():
        spent, share = running.get(stage.key, (0.0, 0.0))
        if isinstance(stage, VictimStage) and share >= KNOWN and not clock.knows(setting_of(stage)):
            clock = clock.assuming(setting_of(stage), spent / share)
    return clock


def _longer_than_thought(
    clock: Clock, stages: Iterable[Stage], running: Mapping[str, tuple[float, float]]
) -> dict[tuple[Setting, str], float]:
    """What cells may take whose defense was never seen to end, by those that run already longer than it was thought."""
    longer: dict[tuple[Setting, str], float] = {}
    for stage in stages if running else ():
        spent, share = running.get(stage.key, (0.0, 0.0))
        if isinstance(stage, CellStage) and not clock.has_seen(stage) and spent > (clock.expect(stage) or spent):
            whole = spent / share if share >= KNOWN else OVERDUE * spent
            name = setting_of(stage.victim), stage.defense.name
            longer[name] = max(longer.get(name, 0.0), whole)
    return longer


def _rest(expected: float, spent: float, share: float) -> float:
    """What is left of a stage: by its own progress, once that says something."""
    if share >= KNOWN:
        return spent * (1 - share) / share
    return expected - spent if expected > spent else (OVERDUE - 1) * spent


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
