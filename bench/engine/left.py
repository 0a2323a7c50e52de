"""How long all that is left of a run may take, by what its stages are expected to take and by those that run now."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from heapq import heapify, heappop, heappush

from bench.engine.clock import Clock, Setting, Variant, setting_of, variant_of
from bench.plan.stages import CellStage, Stage, VictimStage

OVERDUE = 1.5  # times as long as it has run so far: what a stage takes that has run longer than it was thought
LONGER = 2.0  # times as long as by the records: from here on a stage says more of its like in this run than they do
KNOWN = 0.05  # share of a stage from which on its own progress says how long it takes


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
            setting, own = setting_of(stage.victim), variant_of(stage)
            like = [own, (own[0], "")] if clock.guesses(stage) else [own]
            expected = max(expected, *(longer.get((setting, one), 0.0) for one in like))
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


def open_ended(clock: Clock, stages: Iterable[Stage], running: Mapping[str, tuple[float, float]] | None = None) -> bool:
    """Whether ``time_left`` may be far too short: nothing like one of the stages has ended, or one is overdue.

    A stage that runs and says how far it is counts as known.
    """
    running, asked = running or {}, set[tuple[Setting, Variant]]()
    clock = _with_progress(clock, stages, running)
    for stage in stages:
        spent, share = running.get(stage.key, (0.0, 0.0))
        if share >= KNOWN:
            continue
        if stage.key in running and spent > (clock.expect(stage) or spent):
            return True
        like = (setting_of(stage.victim), variant_of(stage)) if isinstance(stage, CellStage) else None
        if like in asked:
            continue
        if like is not None:
            asked.add(like)
        if clock.guesses(stage):
            return True
    return False


def _with_progress(clock: Clock, stages: Iterable[Stage], running: Mapping[str, tuple[float, float]]) -> Clock:
    """The clock; or one that goes by the progress of the victims that run now, where it knows none of their setting."""
    for stage in stages if running else ():
        spent, share = running.get(stage.key, (0.0, 0.0))
        if isinstance(stage, VictimStage) and share >= KNOWN and not clock.knows(setting_of(stage)):
            clock = clock.assuming(setting_of(stage), spent / share)
    return clock


def _longer_than_thought(
    clock: Clock, stages: Iterable[Stage], running: Mapping[str, tuple[float, float]]
) -> dict[tuple[Setting, Variant], float]:
    """What cells may take by those that run already longer than it was thought; by variant, and by defense alone.

    These count like those of their variant that ended in this run.
    """
    found: dict[tuple[Setting, Variant], list[float]] = defaultdict(list)
    ended: dict[tuple[Setting, Variant], tuple[float, int]] = {}
    for stage in stages if running else ():
        if stage.key in running and isinstance(stage, CellStage):
            spent, share = running[stage.key]
            like, (total, count) = (setting_of(stage.victim), variant_of(stage)), clock.of_this_run(stage)
            by_records = clock.has_seen(stage) and not count
            most = (clock.expect(stage) or spent) * (LONGER if by_records else 1.0)
            whole = spent / share if share >= KNOWN else OVERDUE * spent if spent > most else 0.0
            if whole > most:
                found[like].append(whole)
                ended[like] = total, count
    longer: dict[tuple[Setting, Variant], float] = {}
    for (setting, variant), wholes in found.items():
        total, count = ended[setting, variant]
        mean = (total + sum(wholes)) / (count + len(wholes))
        longer[setting, variant] = mean
        longer[setting, (variant[0], "")] = max(mean, longer.get((setting, (variant[0], "")), 0.0))
    return longer


def _rest(expected: float, spent: float, share: float) -> float:
    """What is left of a stage: by its own progress, once that says something."""
    if share >= KNOWN:
        return spent * (1 - share) / share
    return expected - spent if expected > spent else (OVERDUE - 1) * spent
