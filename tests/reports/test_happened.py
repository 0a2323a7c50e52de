"""What is not done, and what the plugins said."""

import numpy as np
import pandas as pd
import pytest
from report_frames import HOSTILE, grid, one_attack, with_logs

from bench.reports.blocks import blocks
from bench.reports.format import UNDEFINED
from bench.reports.happened import plugin_messages, unfinished


def test_what_is_not_done_stands_with_its_seeds_and_reason() -> None:
    frame = pd.concat([one_attack(a=0.9).assign(seed=seed) for seed in range(3)], ignore_index=True)
    frame.loc[(frame["defense"] == "a"), "status"] = "failed"
    frame.loc[(frame["defense"] == "a") & (frame["seed"] == 1), "reason"] = "broken"
    assert unfinished(blocks(frame)[0]).lines == [
        ["blend", "a", "0, 2", "failed", "no reason recorded"],
        ["blend", "a", "1", "failed", "broken"],
    ]


def test_what_plugins_said_is_one_line_for_the_seeds_that_said_the_same() -> None:
    table = plugin_messages(blocks(with_logs())[0])
    assert table.heads == ["attack", "defense", "seeds", "text"]
    assert table.lines == [["blend", "a", "0, 2", "left as it is"], ["blend", "a", "2", HOSTILE]]


def test_a_cell_that_said_something_twice_and_a_blank_line_says_it_once() -> None:
    frame = one_attack(a=0.9).assign(log="one\n\ntwo\none")
    lines = [line for line in plugin_messages(blocks(frame)[0]).lines if line[1] == "a"]
    assert lines == [["blend", "a", "0", "one"], ["blend", "a", "0", "two"]]


@pytest.mark.parametrize("log", [None, np.nan, ""])
def test_plugins_that_said_nothing_have_no_line(log: object) -> None:
    assert plugin_messages(blocks(grid(1).assign(log=log))[0]).lines == []
    assert plugin_messages(blocks(grid(1))[0]).lines == []  # without the column


def test_what_an_attack_said_stands_once_for_all_its_cells() -> None:
    frame = grid(2)
    frame["victim_log"] = ["drew its trigger anew" if attack == "blend" else "" for attack in frame["attack"]]
    assert plugin_messages(blocks(frame)[0]).lines == [["blend", UNDEFINED, "0, 1", "drew its trigger anew"]]
