"""Ranks, paired differences, and stability under hyper-parameters, against scipy and against sums by hand."""

import json

import numpy as np
import pandas as pd
import pytest
from report_frames import record
from scipy import stats
from statsmodels.stats.multitest import multipletests

from bench.reports.blocks import blocks
from bench.reports.drawn import draw
from bench.reports.uncertainty.differences import differences_table
from bench.reports.uncertainty.ranks import critical_difference, nemenyi, ranking, ranks_table
from bench.reports.uncertainty.stability import stability_table
from bench.reports.uncertainty.tests import adjusted

NAMES = ("a", "b", "c")


def victims(seeds: int, shift: float = 0.1, names: tuple[str, ...] = NAMES) -> pd.DataFrame:
    """Two attacks and some seeds; the first defense is better than the next by ``shift``, and so on."""
    rng, rows = np.random.default_rng(3), []
    for attack in ("sig", "wanet"):
        for seed in range(seeds):
            for place, name in enumerate(names):
                ders = {"der": 0.9 - shift * place + 0.02 * rng.random(), "asr": 0.1 + 0.01 * rng.random()}
                rows.append(record(attack, "bna", seed, **ders) | {"defense": name, "defense_label": name})
    return pd.DataFrame(rows)


def test_mean_ranks_and_tests_are_scipy_s() -> None:
    frame = victims(3)
    [block] = blocks(frame)
    table = ranks_table(block)
    assert [line[0] for line in table.lines] == list(NAMES)
    assert [line[4][:4] for line in table.lines] == ["1.00", "2.00", "3.00"]
    assert [line[5] for line in table.lines] == ["12, 0, 0", "6, 0, 6", "0, 0, 12"]
    found = ranking(block, block.groups[0])
    assert found is not None
    wide = frame.pivot_table(index=["attack", "seed"], columns="defense", values="der")
    assert found.p == pytest.approx(stats.friedmanchisquare(*wide.to_numpy().T).pvalue)
    gap = critical_difference(found)
    assert (nemenyi(found).to_numpy()[0, 2] < 0.05) == (gap < 2)
    assert f"{gap:.2f} apart" in table.note
    assert draw(frame, "ranks").axes


def test_ranks_among_several_groups_say_among_whom() -> None:
    frame = victims(3, names=("a", "b", "c", "d"))
    frame["knowledge"] = np.where(frame["defense"] < "c", "200 clean", "nothing")
    table = ranks_table(blocks(frame)[0])
    assert table.heads[1] == "ranked among"
    assert {line[0]: line[1] for line in table.lines} == dict.fromkeys("ab", "given 200 clean") | dict.fromkeys(
        "cd", "given nothing"
    )
    assert "ranked among" not in ranks_table(blocks(victims(3))[0]).heads


def test_the_worst_attack_stands_beside_the_average() -> None:
    frame = victims(1)
    frame.loc[frame["attack"] == "wanet", "der"] -= 0.2
    line = ranks_table(blocks(frame)[0]).lines[0]
    own = frame[frame["defense"] == "a"].set_index("attack")["der"]
    assert line[6] == f"{100 * own.mean():.1f}"
    assert (line[1], line[7]) == ("wanet", f"{100 * own['wanet']:.1f}")


@pytest.mark.parametrize(("seeds", "few"), [(1, True), (2, True), (3, False)])
def test_too_few_victims_or_seeds_are_said_in_one_line(seeds: int, few: bool) -> None:
    note = ranks_table(blocks(victims(seeds))[0]).note
    assert ("fewer than 5 and 3" in note) == few
    assert ("Friedman's test takes 5 victims" in note) == (seeds < 3)
    assert ("[" in ranks_table(blocks(victims(seeds))[0]).lines[0][4]) == (seeds == 3)


def test_two_defenses_are_compared_by_wilcoxon_s_test() -> None:
    frame = victims(4, names=("a", "b"))
    p = stats.wilcoxon(np.full(8, 10.0) + np.arange(8)).pvalue  # as all eight differences have one sign
    assert f"Wilcoxon's signed-rank test over 8 victims: p = {p:.3f}" in ranks_table(blocks(frame)[0]).note


def test_differences_are_paired_by_victim_and_corrected_for_all_pairs() -> None:
    frame = victims(5, shift=0.0).query("attack == 'sig'")
    wide = frame.pivot_table(index="seed", columns="defense", values="der")
    best = wide.mean().idxmax()
    chosen, third = (name for name in NAMES if name != best)
    [block] = blocks(frame, compare_with=chosen)
    table = differences_table(block)
    of_best = [line for line in table.lines[:2] if line[1] == best]
    assert len(of_best) == 2
    raw = {name: stats.ttest_rel(wide[name], wide[best]) for name in wide if name != best}
    smallest = min(raw, key=lambda name: raw[name].pvalue)
    line = next(line for line in of_best if line[0] == smallest)
    assert line[6] == f"{min(1, 3 * raw[smallest].pvalue):.3f}"
    low, high = raw[smallest].confidence_interval()
    gap = (wide[smallest] - wide[best]).mean()
    assert line[5] == f"{100 * gap:+.1f} [{100 * low:+.1f}, {100 * high:+.1f}]"
    assert sorted(line[:2] for line in table.lines[2:]) == sorted([[best, chosen], [third, chosen]])
    assert {line[0]: line[6] for line in table.lines[2:]}[best] == {line[0]: line[6] for line in of_best}[chosen]


def test_differences_count_only_victims_that_both_have() -> None:
    frame = victims(3)
    frame.loc[(frame["defense"] == "b") & (frame["seed"] == 2), ["status", "der"]] = ["failed", np.nan]
    line = next(line for line in differences_table(blocks(frame)[0]).lines if line[0] == "b")
    both = frame.pivot_table(index=["attack", "seed"], columns="defense", values="der").dropna()
    assert line[2] == str(len(both))
    assert line[5].startswith(f"{100 * (both['b'] - both['a']).mean():+.1f} ")


def test_stability_is_the_mean_absolute_difference_over_the_grid() -> None:
    rows, ders = [], {(1, 0): 0.9, (1, 1): 0.8, (2, 0): 0.7, (2, 1): 0.75, (4, 0): 0.5, (4, 1): 0.8}
    for (beta, seed), der in ders.items():
        parameters = {"defense": "tac", "defense_params": json.dumps({"beta": beta})}
        rows.append(record("sig", "tac[beta=1.0]", seed, der=der) | parameters | {"defense_label": f"tac[beta={beta}]"})
    [line] = stability_table(blocks(pd.DataFrame(rows))[0]).lines
    by_hand = np.mean([(0.2 + 0.4 + 0.2) / 3, (0.05 + 0 + 0.05) / 3])
    assert line[:4] == ["tac", "tac.beta", "1, 2, 4", "2"]
    assert line[6] == f"{100 * by_hand:.1f}"
    assert not stability_table(blocks(victims(1))[0]).lines


def test_holm_s_correction_is_that_of_statsmodels() -> None:
    p = np.random.default_rng(0).random(20) ** 3
    np.testing.assert_allclose(adjusted(p), multipletests(p, method="holm")[1])
    np.testing.assert_allclose(adjusted(np.array([np.nan, 0.01, 0.04]))[1:], [0.02, 0.04])
    assert not len(adjusted(np.empty(0)))
