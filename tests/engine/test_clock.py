"""How long a run may still take: within a factor of two as soon as the first victim is made."""

import random

import pytest

from bench.engine.clock import Clock, setting_of, spoken
from bench.engine.left import time_left
from bench.plan.plan import Plan, Request, make_plan
from bench.plan.registry import Registry
from bench.plan.stages import CellStage, Stage, VictimStage

# Of a victim's training, as in docs/results/cifar10 and cifar10-small.
SHARES = {"none": 0.0, "bna": 0.05, "fine_pruning": 0.07, "fire": 0.09, "ft": 0.06, "tac": 0.06}
SHARES_SMALL = {"none": 0.04, "bna": 0.11, "fine_pruning": 0.08, "fire": 0.07, "ft": 0.1, "tac": 0.6}


@pytest.fixture(scope="module")
def big(tmp_path_factory) -> Plan:
    """Five victims of one setting, each with six cells."""
    request = Request(
        defenses=",".join(SHARES),
        attacks="none,badnets,blend,sig,wanet",
        models="resnet18[width=4]",
        datasets="digits[train_size=200]",
        reference=20,
    )
    return make_plan(request, Registry(), tmp_path_factory.mktemp("data"))


def durations(plan: Plan, victim: float, shares: dict[str, float], seed: int) -> dict[str, float]:
    """Seconds of every stage: victims within 20 % of each other, cells within 40 % of their defense's share."""
    draw = random.Random(seed)
    seconds = {stage.key: victim * draw.uniform(0.8, 1.2) for stage in plan.victims}
    seconds |= {cell.key: victim * shares[cell.defense.name] * draw.uniform(0.6, 1.4) for cell in plan.cells}
    return seconds | {stage.key: 0.01 * victim for stage in plan.natural}


def simulated(plan: Plan, seconds: dict[str, float], slots: int) -> tuple[list[tuple[float, Stage]], float]:
    """When each stage ends, and when the last one does.

    A free slot takes a cell of the victim that it has loaded, else a victim, else a cell, as the scheduler does.
    """
    waiting, loaded = [*plan.victims, *plan.cells, *plan.natural], {}
    free, made, ends = [0.0] * slots, {}, []
    while waiting:
        slot = free.index(min(free))
        ready = [stage for stage in waiting if all(made.get(one.key, 1e9) <= free[slot] for one in stage.parents)]
        if not ready:
            free[slot] = min(end for end in made.values() if end > free[slot])
            continue
        stage = min(ready, key=lambda one: (loaded.get(slot) not in [p.key for p in one.parents], bool(one.parents)))
        waiting.remove(stage)
        loaded[slot] = (stage, *stage.parents)[-1].key
        free[slot] += seconds[stage.key]
        ends.append((free[slot], stage))
        if isinstance(stage, VictimStage):
            made[stage.key] = free[slot]
    return sorted(ends, key=lambda end: end[0]), max(free)


@pytest.mark.parametrize("shares", [SHARES, SHARES_SMALL])
@pytest.mark.parametrize("slots", [1, 2, 4])
@pytest.mark.parametrize("victim", [3.0, 1700.0])
def test_the_time_left_is_within_a_factor_of_two_after_the_first_victim(big, shares, slots, victim):
    for seed in range(3):
        seconds = durations(big, victim, shares, seed)
        ends, whole = simulated(big, seconds, slots)
        clock, over = Clock(), set()
        for now, stage in ends:
            clock.learn(stage, seconds[stage.key])
            over.add(stage.key)
            rest = [one for _, one in ends if one.key not in over]
            begun = {one.key: now - (end - seconds[one.key]) for end, one in ends if one.key not in over}
            running = {key: (spent, 0.0) for key, spent in begun.items() if spent > 0}
            left = time_left(clock, sorted(rest, key=lambda one: isinstance(one, CellStage)), slots, running)
            if whole - now > 0.1 * whole:  # at the very end a few seconds are neither here nor there
                assert (whole - now) / 2 <= left <= 2 * (whole - now), (now, whole, len(rest))


def test_a_victim_that_runs_says_by_its_progress_how_long_the_others_may_take(big):
    victims = big.victims
    assert time_left(Clock(), victims, 1, {victims[0].key: (10.0, 0.01)}) is None
    assert time_left(Clock(), victims, 1, {victims[0].key: (10.0, 0.25)}) == pytest.approx(30 + 4 * 40)


def test_a_defense_that_was_seen_in_another_setting_takes_the_same_share(big, tmp_path):
    request = Request(defenses="tac", attacks="badnets", models="resnet18[width=8]", datasets="digits", reference=20)
    other = make_plan(request, Registry(), tmp_path)
    clock = Clock()
    [victim], [cell] = other.victims, other.cells
    clock.learn(victim, 50.0)
    clock.learn(cell, 30.0)
    clock.learn(big.victims[0], 10.0)
    tac = next(cell for cell in big.cells if cell.defense.name == "tac")
    assert setting_of(tac.victim) != setting_of(victim)
    assert clock.expect(tac) == pytest.approx(6.0)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "1 s"), (42.4, "42 s"), (100, "2 min"), (7800, "2 h 10 min"), (7200, "2 h"), (200_000, "2.3 days")],
)
def test_durations_are_said_as_people_say_them(seconds, words):
    assert spoken(seconds) == words
