"""The 95 % intervals of a main table: compared with scipy's, and by how often they cover in a simulation."""

import sys
from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest
from outcome_frames import with_outcomes
from report_frames import grid, one_attack, record
from scipy import stats
from scipy.special import expit
from statsmodels.stats.proportion import proportion_confint

from bench.records.outcomes import MASKS, Outcomes
from bench.reports.blocks import AVERAGE, blocks
from bench.reports.uncertainty.interval_table import interval_table
from bench.reports.uncertainty.intervals import between_0_and_1
from bench.reports.uncertainty.quantiles import weighted_p
from bench.reports.uncertainty.record_limits import with_limits
from bench.reports.uncertainty.spread import Errors, spread
from bench.reports.uncertainty.tests import p_values


@pytest.fixture(scope="module")
def coverage() -> Iterator[ModuleType]:
    """The simulation in benchmarks/coverage.py."""
    folder = str(Path(__file__).parents[2] / "benchmarks")
    sys.path.insert(0, folder)
    import coverage

    sys.modules["invented_victims"].MANY = 1000
    yield coverage
    sys.path.remove(folder)
    for name in ("coverage", "interval_rules", "invented_victims"):
        del sys.modules[name]


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


def two_attacks() -> pd.DataFrame:
    """Of three seeds each."""
    rows = [record(*names, seed) for seed in range(3) for names in product(("sig", "wanet"), ("none", "bna"))]
    return pd.DataFrame(rows)


def wilson_like(mean: float, variance: float, df: float) -> tuple[float, float]:
    """Wilson's interval, by statsmodels, of as many images as give a share this variance, at Student's quantile."""
    images = mean * (1 - mean) / variance
    beyond = 2 * stats.norm.sf(stats.t.isf(0.025, df))  # at which the normal quantile is Student's
    low, high = proportion_confint(mean * images, images, beyond, method="wilson")
    return float(low), float(high)


def test_an_average_over_attacks_has_the_interval_of_stratified_seeds() -> None:
    frame = two_attacks()
    own = frame[frame["defense"] == "bna"].groupby("attack")["der"]
    variances = own.var() / 3 / 4
    df = min(4, variances.sum() ** 2 / (variances**2 / 4).sum() - 2)  # Welch's: two and two for each attack
    stat = blocks(frame)[0].cells[AVERAGE, "bna"].stat("der")
    assert (stat.low, stat.high) == pytest.approx(wilson_like(own.mean().mean(), variances.sum(), df), rel=1e-6)


@pytest.mark.parametrize("metric", ["acc", "asr", "der"])
def test_over_seeds_an_interval_is_wilson_s_of_as_many_images_as_vary_like_the_seeds(metric: str) -> None:
    frame = two_attacks()
    own = frame[(frame["defense"] == "bna") & (frame["attack"] == "sig")][metric]
    stat = blocks(frame)[0].cells["sig", "bna"].stat(metric)
    assert (stat.low, stat.high) == pytest.approx(wilson_like(own.mean(), own.var() / 3, 2))
    assert 0 < stat.low < own.mean() < stat.high < 1


@pytest.mark.parametrize(("mean", "half", "expected"), [(1.0, 0.1, (0.9, 1)), (0.0, 0.1, (0, 0.1)), (0.5, 0.0, None)])
def test_at_the_ends_an_interval_is_cut_off(mean: float, half: float, expected: tuple[float, float] | None) -> None:
    (low,), (high,) = between_0_and_1(np.array([mean]), np.array([half]))
    assert (low, high) == pytest.approx(expected or (np.nan, np.nan), nan_ok=True)


@pytest.mark.parametrize(("low", "seeds"), [(0.01, 3), (0.01, 5), (0.1, 3), (0.9, 4)])
def test_intervals_of_shares_cover_where_seeds_differ_strongly(low: float, seeds: int) -> None:
    rng = np.random.default_rng(seeds)
    odds = np.log(low / (1 - low)) + rng.normal(size=(3000, seeds))
    shares = rng.binomial(450, expit(odds)) / 450
    truth = expit(np.log(low / (1 - low)) + rng.normal(size=100_000)).mean()
    half = stats.t.isf(0.025, seeds - 1) * shares.std(axis=1, ddof=1) / seeds**0.5
    ends = between_0_and_1(shares.mean(axis=1), half)
    known = ~np.isnan(ends[0])
    assert np.mean(((ends[0] <= truth) & (truth <= ends[1]))[known]) > 0.9  # Student's cover 0.84 to 0.89


@pytest.mark.parametrize("images", [0.0, 0.25, 1.0, 4.0])
@pytest.mark.parametrize(("attacks", "seeds"), [(1, 2), (1, 3), (2, 2), (4, 2), (4, 3)])
def test_seeds_and_images_together_cover_neither_too_rarely_nor_too_often(
    attacks: int, seeds: int, images: float
) -> None:
    rng, size = np.random.default_rng(0), 4000
    figures = rng.normal(size=(attacks, seeds, size)) * (attacks * seeds) ** 0.5
    mean = figures.mean(axis=(0, 1)) + rng.normal(size=size) * images**0.5
    victims = figures.var(axis=1, ddof=1) / seeds / attacks**2
    freedom = np.full(victims.shape, seeds - 1.0)
    errors = Errors.of_sum(victims, freedom, np.full(size, images), np.zeros(size))
    assert 0.93 < np.mean(np.abs(mean) <= errors.half) < 0.983
    assert ((p_values(mean, errors) < 0.05) == (np.abs(mean) > errors.half)).mean() > 0.999


def test_p_values_are_scipy_s_where_seeds_or_images_alone_are_known() -> None:
    gaps, df = np.array([0.0, 0.5, 2.0, 30.0]), np.full(4, 3.0)
    of_seeds, of_images = (Errors(np.ones(4), df, np.full(4, weight)) for weight in (1.0, 0.0))
    assert p_values(gaps, of_seeds) == pytest.approx(2 * stats.t.sf(gaps, 3))
    assert p_values(gaps, of_images) == pytest.approx(2 * stats.norm.sf(gaps))
    assert np.isnan(p_values(np.ones(1), Errors(np.full(1, np.nan), np.ones(1), np.zeros(1)))).all()


@pytest.mark.parametrize("weight", [0.01, 0.5, 0.99])
def test_a_p_value_is_the_level_at_which_the_interval_ends_at_the_gap_however_large(weight: float) -> None:
    of_seeds, df = np.meshgrid(np.geomspace(0.5, 1e5, 40), [1.0, *np.linspace(2, 2.5, 60), 3.0, 100.0])
    halves = stats.t.sf(of_seeds, df)
    told = halves > 1e-290
    gaps = weight * of_seeds + (1 - weight) * stats.norm.isf(halves)
    found = weighted_p(gaps[told], df[told], np.full(told.sum(), weight)) / 2
    assert found == pytest.approx(halves[told], rel=1e-4, abs=0)


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
    world = replace(coverage.CHOICE["middling"], images=200)
    own = coverage.with_attacks(world, coverage.CHOICE_ATTACKS[4][:attacks], seeds)
    shares = coverage.covered(own, seeds, 50, np.random.default_rng(seeds))
    # 50 repeats tell 95 % from 80 %, which a bootstrap over three seeds would have; benchmarks/coverage.py has the rest
    assert all(share >= 0.85 for share in shares.values()), shares
    assert np.mean(list(shares.values())) < 0.99
    equal = coverage.with_equal_defenses(own, 3)
    assert max(coverage.rejected(equal, seeds, 50, np.random.default_rng(seeds))) <= 0.14


def test_rules_are_compared_on_other_worlds_than_the_report_s(coverage: ModuleType) -> None:
    assert not set(coverage.CHOICE.values()) & set(coverage.FRESH.values())
    found = coverage.compared(coverage.CHOICE["middling"], 2, 1, np.random.default_rng(0))
    assert set(found["ASR"]) == set(coverage.OF_SHARES)


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
