"""The 95 % intervals of a main table: compared with scipy's, and by how often they cover in a simulation."""

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest
from report_frames import grid, one_attack, record
from scipy import stats

from bench.records.outcomes import MASKS, Outcomes
from bench.reports.blocks import AVERAGE, blocks
from bench.reports.uncertainty.interval_table import interval_table
from bench.reports.uncertainty.record_limits import with_limits
from bench.reports.uncertainty.spread import spread


@pytest.fixture(scope="module")
def coverage() -> Iterator[ModuleType]:
    """The simulation in benchmarks/coverage.py."""
    folder = str(Path(__file__).parents[2] / "benchmarks")
    sys.path.insert(0, folder)
    import coverage

    coverage.MANY = 1000
    yield coverage
    sys.path.remove(folder)
    del sys.modules["coverage"]


def test_over_seeds_the_interval_is_student_s() -> None:
    ders = [0.70, 0.72, 0.77]
    [block] = blocks(pd.concat([one_attack(a=der).assign(seed=seed) for seed, der in enumerate(ders)]))
    stat = block.cells["blend", "a"].stat("der")
    assert (stat.low, stat.high) == pytest.approx(stats.t.interval(0.95, 2, np.mean(ders), stats.sem(ders)))


@pytest.mark.parametrize(("metric", "hits", "count"), [("acc", 990, 1000), ("asr", 0, 900), ("ra", 450, 900)])
def test_with_one_seed_a_share_has_wilson_s_interval_from_its_images(metric: str, hits: int, count: int) -> None:
    [block] = blocks(one_attack(a=0.9).assign(n_triggered=900, **{metric: hits / count}))
    stat = block.cells["blend", "a"].stat(metric)
    assert (stat.low, stat.high) == pytest.approx(tuple(stats.binomtest(hits, count).proportion_ci(method="wilson")))
    assert np.isnan(block.cells["blend", "a"].stat("der").low)  # ACC and ASR are paired with those before


def test_seeds_that_all_agree_have_the_interval_of_their_images() -> None:
    frame = pd.concat([one_attack(a=0.9).assign(seed=seed, asr=0.0, n_triggered=900) for seed in range(3)])
    stat = blocks(frame)[0].cells["blend", "a"].stat("asr")
    assert stat.high == pytest.approx(stats.binomtest(0, 900).proportion_ci(method="wilson").high)


def test_an_average_over_attacks_has_the_interval_of_stratified_seeds() -> None:
    frame = pd.concat(
        [
            pd.DataFrame([record(attack, name, seed) for name in ("none", "bna")])
            for attack in ("sig", "wanet")
            for seed in range(3)
        ]
    )
    [block] = blocks(frame)
    own = [frame[(frame["attack"] == attack) & (frame["defense"] == "bna")]["asr"] for attack in ("sig", "wanet")]
    expected = stats.ttest_ind(own[0], -own[1], equal_var=False).confidence_interval(0.95)  # half their sum
    stat = block.cells[AVERAGE, "bna"].stat("asr")
    assert (stat.low, stat.high) == pytest.approx((max(0, expected.low / 2), expected.high / 2), rel=1e-6)


def images(shares: dict[str, float], before: dict[str, float], seed: int, size: int = 400) -> Outcomes:
    rng = np.random.default_rng(seed)
    found = {name: np.random.default_rng(i).random(size) < share for i, (name, share) in enumerate(before.items())}
    found |= {name: rng.random(size) < share for name, share in shares.items()}
    eligible = np.arange(size) % 10 != 0
    return Outcomes.of({"eligible": eligible, "of_target": ~eligible} | {name: found[name] for name in found})


BEFORE = {"right_before": 0.95, "hit_before": 0.97, "robust_before": 0.02}


def with_outcomes(**asr: float) -> tuple[pd.DataFrame, dict[str, Outcomes]]:
    """One attack, one seed, with a defense for each ASR, and what became of its test images."""
    rows, found = [], {}
    for number, (name, share) in enumerate(asr.items()):
        own = images({"right": 0.9, "hit": share, "robust": 0.5}, BEFORE, 10 + number)
        chosen = own["eligible"] > 0
        acc, acc_before = own["right"].mean(), own["right_before"].mean()
        figures = {part: own[mask][chosen].mean() for part, mask in (("asr", "hit"), ("asr_before", "hit_before"))}
        der = (figures["asr_before"] - figures["asr"] - max(0, acc_before - acc) + 1) / 2
        changed = {"acc": acc, "acc_before": acc_before, "der": der, "n_test": 400, "n_triggered": 360, **figures}
        rows.append(record("blend", "bna", 0, **changed) | {"defense": name, "defense_label": name, "key": name})
        found[name] = own
    return pd.DataFrame(rows), found


def test_with_one_seed_der_and_differences_are_judged_by_resampling_the_paired_images() -> None:
    frame, found = with_outcomes(a=0.1, b=0.3)
    [block] = blocks(frame, outcomes=lambda key, victim: found[key])
    rng, draws = np.random.default_rng(0), []
    for _ in range(1500):
        at = rng.integers(400, size=400)
        ders = []
        for own in found.values():
            chosen = at[own["eligible"][at] > 0]
            fall = own["hit_before"][chosen].mean() - own["hit"][chosen].mean()
            ders.append((fall - max(0, own["right_before"][at].mean() - own["right"][at].mean()) + 1) / 2)
        draws.append([ders[0], ders[0] - ders[1]])
    widths = 1.96 * np.std(draws, axis=0)
    stat = block.cells["blend", "a"].stat("der")
    assert (stat.high - stat.low) / 2 == pytest.approx(widths[0], rel=0.1)
    errors = spread(block.samples, "der", [(0, [0])]).differences()
    assert 1.96 * errors.se[1, 2] == pytest.approx(widths[1], rel=0.1)


def test_what_cannot_be_told_from_the_best_is_marked_with_it_and_the_next_is_second() -> None:
    frame, found = with_outcomes(a=0.10, b=0.11, c=0.4, d=0.9, e=1.0)
    [block] = blocks(frame, outcomes=lambda key, victim: found[key])
    assert block.best("blend") == {"a", "b"}
    assert block.marks("blend").second == {"c"}
    [without] = blocks(frame)
    assert len(without.best("blend")) == 1


@pytest.mark.parametrize("highest", [0.5, 0.505, 0.3])
def test_a_defense_that_gains_nothing_is_not_marked(highest: float) -> None:
    [block] = blocks(one_attack(a=highest, b=0.2, c=0.1))
    assert not block.best("blend") | block.marks("blend").second


@pytest.mark.parametrize(("seeds", "attacks"), [(1, 1), (3, 1), (3, 2)])
def test_intervals_cover_and_tests_err_as_often_as_they_say(coverage: ModuleType, seeds: int, attacks: int) -> None:
    world = coverage.WORLDS["middling"]
    own = replace(world, attacks=coverage.ATTACKS[4][:attacks], seeds=world.seeds * (seeds > 1))
    shares = coverage.covered(own, seeds, 200, 50, np.random.default_rng(seeds))
    # 50 repeats tell 95 % from 80 %, which a bootstrap over three seeds would have; benchmarks/coverage.py has the rest
    assert all(share >= 0.85 for share in shares.values()), shares
    assert np.mean(list(shares.values())) < 0.99
    equal = replace(coverage.EQUAL, attacks=own.attacks, seeds=own.seeds, after=coverage.EQUAL.after[:3])
    assert max(coverage.rejected(equal, seeds, 200, 50, np.random.default_rng(seeds))) <= 0.14


def test_a_record_has_wilson_s_interval_of_its_own() -> None:
    frame = with_limits(one_attack(a=0.9).assign(n_triggered=900, asr=0.5))
    low, high = stats.binomtest(450, 900).proportion_ci(method="wilson")
    assert frame[["asr_low", "asr_high"]].iloc[0].tolist() == pytest.approx([low, high])


def test_every_interval_is_in_a_table_that_says_how_it_was_made() -> None:
    for seeds, word in ((1, "Wilson"), (2, "wide"), (3, "Student")):
        [block] = blocks(grid(seeds))
        table = interval_table(block)
        assert word in table.note
        stat = block.cells["sig", "bna"].stat("acc")
        line = next(line for line in table.lines if line[:2] == ["sig", "bna"])
        assert line[2] == f"{100 * stat.low:.1f}–{100 * stat.high:.1f}"


def test_outcomes_keep_every_mask() -> None:
    masks = {name: np.random.default_rng(i).random(13) < 0.5 for i, name in enumerate(MASKS)}
    kept = Outcomes.of(masks)
    assert all((kept[name] == masks[name]).all() for name in MASKS)
