"""Blocks: which cells are compared, what is averaged over, and which defense is best."""

import numpy as np
import pandas as pd
import pytest
from report_frames import grid, one_attack

from bench.reports.blocks import AVERAGE, blocks


def test_the_best_der_is_that_of_the_highest_defense_and_never_of_the_control() -> None:
    (block,) = blocks(one_attack(a=0.5, b=0.93, c=0.9))
    assert block.best("blend") == {"b"}
    assert block.defenses == ["a", "b", "c"]


def test_ders_that_print_alike_are_all_best() -> None:
    (block,) = blocks(one_attack(a=0.93004, b=0.92996, c=0.928))
    assert block.best("blend") == {"a", "b"}


@pytest.mark.parametrize("status", ["failed", "timeout", "not-applicable"])
def test_a_defense_that_did_not_finish_every_seed_cannot_be_best(status: str) -> None:
    first = one_attack(a=0.9, b=0.99, c=0.8)
    second = one_attack(a=0.9, b=0.99, c=0.8).assign(seed=1)
    second.loc[second["defense"] == "b", "status"] = status
    (block,) = blocks(pd.concat([first, second]))
    assert block.best("blend") == {"a"}
    assert (block.cells["blend", "b"].done, block.cells["blend", "b"].total) == (1, 2)


def test_an_oracle_stands_last_and_is_never_best() -> None:
    frame = one_attack(a=0.5, b=0.93, c=0.9)
    frame["oracle"] = frame["defense"] == "b"
    (block,) = blocks(frame)
    assert block.defenses == ["a", "c", "b (oracle)"]
    assert block.best("blend") == {"c"}


def test_mean_and_spread_over_seeds_are_those_worked_out_by_hand() -> None:
    frame = pd.concat([one_attack(a=der).assign(seed=seed) for seed, der in enumerate([0.90, 0.92, 0.97])])
    (block,) = blocks(frame)
    stat = block.cells["blend", "a"].stat("der")
    assert stat.mean == pytest.approx(0.93)
    assert stat.std == pytest.approx(((0.03**2 + 0.01**2 + 0.04**2) / 2) ** 0.5)


def test_the_average_leaves_out_the_control_row() -> None:
    (block,) = blocks(grid(1))
    frame = grid(1)
    own = frame[(frame["attack"] != "none") & (frame["defense"] == "bna")]
    assert block.cells[AVERAGE, "bna"].stat("acc").mean == pytest.approx(own["acc"].mean())
    assert block.before[AVERAGE].stat("asr").mean == pytest.approx(own["asr_before"].mean())
    assert AVERAGE not in blocks(frame[frame["attack"].isin(["none", "sig"])])[0].row_names


def test_the_average_of_a_defense_with_an_unfinished_attack_is_counted_and_cannot_be_best() -> None:
    frame = grid(1)
    frame.loc[(frame["defense"] == "fire") & (frame["status"] == "done"), "der"] = 1.0
    (block,) = blocks(frame)
    assert (block.cells[AVERAGE, "fire"].done, block.cells[AVERAGE, "fire"].total) == (3, 4)
    assert "fire" not in block.best(AVERAGE)


def test_an_attack_that_nothing_is_applicable_to_is_not_averaged_over() -> None:
    frame = grid(1)
    frame = frame[frame["status"] == "done"]
    [before] = blocks(frame)
    nowhere = frame[frame["attack"] == "sig"].assign(attack="ctrl", attack_label="ctrl", status="not-applicable")
    metrics = ["acc", "asr", "ra", "der", "acc_before", "asr_before", "ra_before"]
    [block] = blocks(pd.concat([frame, nowhere.assign(**dict.fromkeys(metrics, np.nan))]))
    assert "ctrl" in block.attacks
    for defense in before.defenses:
        assert block.cells[AVERAGE, defense].total == before.cells[AVERAGE, defense].total
    assert block.best(AVERAGE) == before.best(AVERAGE)


def test_the_undefended_network_is_shown_even_where_the_control_was_not_run() -> None:
    whole = grid(2)
    without = whole[whole["defense"] != "none"]
    assert blocks(without)[0].before["sig"].stats == pytest.approx(blocks(whole)[0].before["sig"].stats)


def test_the_control_stands_for_the_undefended_network_where_records_lack_the_values_before() -> None:
    frame = grid(2).drop(columns=["acc_before", "asr_before", "ra_before"])
    own = frame[(frame["attack"] == "sig") & (frame["defense"] == "none")]
    assert blocks(frame)[0].before["sig"].stat("asr").mean == pytest.approx(own["asr"].mean())


def test_different_recipes_are_never_averaged_and_different_budgets_have_two_columns() -> None:
    frame = one_attack(a=0.9)
    assert len(blocks(pd.concat([frame, frame.assign(recipe='{"epochs": 9}', der=0.1)]))) == 2
    (block,) = blocks(pd.concat([frame, frame.assign(knowledge="50 clean", der=0.1)]))
    assert block.defenses == [f"a ({frame['knowledge'][0]})", "a (50 clean)"]


def test_of_two_records_of_one_cell_and_seed_the_later_counts() -> None:
    old, new = one_attack(a=0.5), one_attack(a=0.8).assign(finished="2027-01-01T00:00:00+00:00")
    for frame in (pd.concat([old, new]), pd.concat([new, old])):
        stat = blocks(frame)[0].cells["blend", "a"].stat("der")
        assert (stat.count, stat.mean) == (1, 0.8)
