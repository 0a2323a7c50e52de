"""Figures that stand side by side are over the same victims, or say over how many they are."""

import json
from collections.abc import Callable
from itertools import combinations, product

import numpy as np
import pandas as pd
import pytest
from outcome_frames import with_outcomes
from report_frames import record
from statsmodels.stats.multitest import multipletests

from bench.reports.blocks import AVERAGE, blocks
from bench.reports.format import UNDEFINED
from bench.reports.legend import legend
from bench.reports.rows import cell_text
from bench.reports.side_tables import attack_table, cost_table, detection_table
from bench.reports.uncertainty.differences import differences_table
from bench.reports.uncertainty.pairs import differing
from bench.reports.uncertainty.ranks import most_results, ranking, ranks_table

ATTACKS = ("blend", "sig", "wanet")
NAMES = ("a", "b", "c", "d")
CODE = json.dumps({"defense": "0" * 16})


def victims(seeds: int = 3, names: tuple[str, ...] = NAMES) -> pd.DataFrame:
    """The first of ``names`` has the highest DER, and so on."""
    draw, rows = np.random.default_rng(7), []
    for attack, seed, (place, name) in product(ATTACKS, range(seeds), enumerate(names)):
        own = {"der": 0.95 - 0.05 * place - 0.02 * draw.random(), "asr": 0.1 * draw.random(), "fingerprints": CODE}
        rows.append(record(attack, "bna", seed, **own) | {"defense": name, "defense_label": name})
    return pd.DataFrame(rows)


def without_records(frame: pd.DataFrame, chosen: "pd.Series[bool]") -> pd.DataFrame:
    return frame[~chosen]


def without_der(frame: pd.DataFrame, chosen: "pd.Series[bool]") -> pd.DataFrame:
    return frame.assign(der=frame["der"].where(~chosen))


def without_ra(frame: pd.DataFrame, chosen: "pd.Series[bool]") -> pd.DataFrame:
    return frame.assign(ra=frame["ra"].where(~chosen))


def of_other_code(frame: pd.DataFrame, chosen: "pd.Series[bool]") -> pd.DataFrame:
    other = json.dumps({"defense": "1" * 16})
    return frame.assign(
        fingerprints=frame["fingerprints"].mask(chosen, other), finished=frame["finished"].mask(chosen, "1")
    )


Lack = Callable[[pd.DataFrame, "pd.Series[bool]"], pd.DataFrame]
LACKS = [without_records, without_der, without_ra, of_other_code]


@pytest.mark.parametrize("lacking", LACKS)
def test_a_defense_that_lacks_what_others_have_is_counted_and_never_marked(lacking: Lack) -> None:
    frame = victims()
    chosen = (frame["defense"] == "a") & (frame["attack"] == "sig") & (frame["seed"] > 0)
    [block] = blocks(lacking(frame, chosen))
    texts = {attack: cell_text(block, attack, "a") for attack in block.row_names}
    assert {attack: text.tally for attack, text in texts.items() if text.tally} == {"sig": "1/3", AVERAGE: "7/9"}
    for attack in ("sig", AVERAGE):
        assert (block.best(attack), block.marks(attack).second) == ({"b"}, {"c"})
    assert block.best("blend") == {"a"}


def test_an_average_over_parts_of_every_attack_is_counted_by_its_victims() -> None:
    """It is over a third of them, and not over none of the attacks."""
    frame = victims()
    [block] = blocks(frame[(frame["defense"] != "a") | (frame["seed"] == 0)])
    assert cell_text(block, AVERAGE, "a").tally == "3/9"
    assert "(1/4): 1 of the 4 victims, all seeds of these attacks, has every figure" in " ".join(
        legend(block, best="Bold")
    )


@pytest.mark.parametrize("lacking", LACKS[:3])
def test_a_defense_that_lacks_all_seeds_of_an_attack_has_no_whole_average(lacking: Lack) -> None:
    frame = victims(1)
    [block] = blocks(lacking(frame, (frame["defense"] == "a") & (frame["attack"] == "sig")))
    assert cell_text(block, AVERAGE, "a").tally == "2/3"
    assert block.best(AVERAGE) == {"b"}


def test_means_of_a_table_are_counted_by_the_seeds_that_they_are_over() -> None:
    frame = victims(1).assign(means_over=3)
    frame.loc[frame["defense"] == "a", "means_over"] = 1
    [block] = blocks(frame)
    assert [cell_text(block, "sig", name).tally for name in NAMES] == ["1/3", "", "", ""]
    assert block.best("sig") == {"b"}


def test_a_metric_that_nobody_has_of_a_victim_takes_no_mark_away_and_is_told() -> None:
    frame = victims()
    frame.loc[(frame["attack"] == "sig") & (frame["seed"] == 1), ["acc_target", "acc_target_before"]] = np.nan
    [block] = blocks(frame)
    assert block.best(AVERAGE) == {"a"}
    assert not cell_text(block, AVERAGE, "a").tally
    assert "ACC(t) is known of 8 of 9 victims" in " ".join(legend(block, best="Bold"))


@pytest.mark.parametrize("draw", range(4))
def test_worst_cases_and_ranks_are_over_the_victims_of_the_means_beside_them(draw: int) -> None:
    rng, frame = np.random.default_rng(draw), victims()
    frame["asr"], frame["der"] = rng.random(len(frame)), 0.5 + 0.5 * rng.random(len(frame))
    frame = frame[rng.random(len(frame)) > 0.08]
    [block] = blocks(frame)
    table = ranks_table(block)
    own = frame[frame["defense"].isin([line[0] for line in table.lines])]
    whole = own.pivot_table(index=["attack", "seed"], columns="defense", values=["der", "asr"]).dropna()
    assert len(table.lines) > 1
    for line in table.lines:
        by_attack = {name: whole[name][line[0]].groupby("attack").mean() for name in ("der", "asr")}
        assert line[3] == str(len(whole))
        assert line[1:3] == [by_attack["der"].idxmin(), by_attack["asr"].idxmax()]
        means = whole["der"][line[0]].mean(), by_attack["der"].min(), by_attack["asr"].max()
        assert line[6:] == [f"{100 * mean:.1f}" for mean in means]
    assert ("Ranked on" in table.note) == (len(whole) < len(frame[["attack", "seed"]].drop_duplicates()))


def test_a_defense_with_few_victims_is_left_out_of_the_ranks_with_a_line() -> None:
    frame = victims()
    few = frame["defense"].isin(["b", "c"]) & ((frame["attack"] != "sig") | (frame["seed"] > 0))
    [block] = blocks(frame[~few])
    found = ranking(block, block.groups[0])
    assert found is not None
    assert (found.defenses, len(found.victims), found.left_out) == (["a", "d"], 9, {"b": 1, "c": 1})
    assert "b (1 of 9 victims), c (1 of 9 victims)" in ranks_table(block).note
    one = (frame["defense"] == "b") & (frame["attack"] == "sig") & (frame["seed"] == 0)
    kept = ranking(blocks(frame[~one])[0], block.groups[0])
    assert kept is not None
    assert (kept.defenses, len(kept.victims)) == (list(NAMES), 8)


def test_no_single_defense_more_or_less_would_give_more_results_to_rank() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        present = rng.random((8, 5)) < 0.8
        chosen = most_results(present)

        def results(columns: list[int], present: "np.ndarray[tuple[int, int], np.dtype[np.bool_]]" = present) -> int:
            return len(columns) * int(present[:, columns].all(axis=1).sum()) if len(columns) > 1 else 0

        assert results(chosen) >= results(list(range(5)))
        assert all(results(chosen) >= results([one for one in chosen if one != other]) for other in chosen)
    assert most_results(np.array([[True, False], [False, True]])) == []


@pytest.mark.parametrize("against", ["", "a", "c"])
@pytest.mark.parametrize("lacking", [[], ["b"], ["d"]])
def test_a_pair_has_one_p_value_for_marks_and_table(against: str, lacking: list[str]) -> None:
    frame, found = with_outcomes(a=0.02, b=0.045, c=0.2, d=0.45, e=0.7)
    other = frame.assign(attack="sig", attack_label="sig", victim_key="sig-0", key=frame["key"] + "-sig")
    found |= {f"{name}-sig": own for name, own in found.items()}
    frame = pd.concat([frame, other[~other["defense"].isin(lacking)]])
    [block] = blocks(frame, outcomes=lambda key, victim: found[key], compare_with=against)
    assert block.samples is not None
    lines = differences_table(block).lines
    p = {frozenset(line[:2]): line[6] for line in lines}
    assert all(p[frozenset(line[:2])] == line[6] for line in lines)
    assert len({tuple(line[:2]) for line in lines}) == len(lines)
    best = block.best(AVERAGE)
    for name in {*block.defenses} - {lines[0][1], *lacking}:
        told = p[frozenset([name, lines[0][1]])]
        assert (name in best) == (not told.startswith("<") and float(told) > 0.05)
    if not lacking:
        pairs = list(combinations(range(1, 6), 2))
        holm = multipletests(differing(block.samples, block.averaged, np.array(pairs)), method="holm")[1]
        names = [frozenset(block.defenses[place - 1] for place in pair) for pair in pairs]
        expected = {name: "< 0.001" if own < 0.001 else f"{own:.3f}" for name, own in zip(names, holm, strict=True)}
        assert all(expected[pair] == text for pair, text in p.items())


def test_costs_of_different_devices_or_threads_are_in_no_common_mean() -> None:
    frame = victims(names=("a", "b")).assign(defense_seconds=100.0, device="cpu", threads=1)
    gpu = (frame["defense"] == "a") & (frame["seed"] > 0)
    frame.loc[gpu, ["device", "defense_seconds", "threads"]] = ["gpu", 1.0, 1]
    table = cost_table(blocks(frame)[0])
    head = {name: table.heads.index(name) for name in ("device", "cells", "seconds")}
    seen = [[line[0], *(line[place] for place in head.values())] for line in table.lines]
    assert seen == [["a", "cpu", "3", "100"], ["a", "gpu", "6", "1"], ["b", "cpu", "9", "100"]]
    assert "same victims" in table.note
    frame.loc[gpu, ["device", "threads"]] = ["cpu", 8]
    assert {line[head["device"]] for line in cost_table(blocks(frame)[0]).lines} == {"cpu, 1 thread", "cpu, 8 threads"}
    whole = cost_table(blocks(frame[~gpu & (frame["seed"] == 0)])[0])
    assert "same victims" not in whole.note
    assert "Device: cpu." in whole.note


def test_a_figure_that_is_known_of_fewer_victims_than_that_beside_it_says_so() -> None:
    frame = victims(names=("a", "b")).assign(auroc=0.9, base_rate=0.01, psnr=30.0, ssim=0.9, ms_per_sample=1.0)
    first = frame["seed"] == 0
    frame["average_precision"] = np.where(first, 0.5, np.nan)
    for name in ("base_rate", "psnr"):
        frame[name] = frame[name].where(first)
    frame["ms_per_sample"] = frame["ms_per_sample"].where(first)
    [block] = blocks(frame)
    detected, hidden, costs = (
        dict(zip(table.heads, table.lines[0], strict=True))
        for table in (detection_table(block), attack_table(block), cost_table(block))
    )
    assert (detected["AUROC"], detected["AP"], detected["TPR"]) == ("90.0±0.0", "50.0 (1/3)", UNDEFINED)
    assert (hidden["base rate"], hidden["PSNR (dB)"], hidden["SSIM"]) == ("1.0 (1/3)", "30.0 (1/3)", "0.900")
    assert (costs["cells"], costs["ms a sample"], costs["peak MB"]) == ("9", "1 (3/9)", "512")
