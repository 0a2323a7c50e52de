"""Tables in a terminal."""

import re

import pandas as pd
import pytest
from outcome_frames import with_outcomes
from report_frames import ATTACKS, HOSTILE, grid, one_attack, printed, with_logs

from bench.reports import terminal_table
from bench.reports.blocks import blocks
from bench.reports.format import percent


@pytest.mark.parametrize("width", [80, 100, 160, 250])
@pytest.mark.parametrize("seeds", [1, 3])
def test_a_terminal_of_any_width_shows_every_figure_whole(seeds: int, width: int) -> None:
    frame = grid(seeds)
    lines = printed(terminal_table(frame, width), width)
    text = "\n".join(lines)
    assert "…" not in text
    assert max(map(len, lines)) <= width
    (block,) = blocks(frame)
    for names, cell in block.cells.items():
        for stat in cell.stats.values():
            assert percent(stat) in text, names
    for expected in ["n/a", "failed", "timeout", "200 clean + 64", "Seed"]:
        assert expected in " ".join(text.split())
    assert "badnets[poisoning_rate=0.05]" in text  # brackets are not taken for mark-up
    assert sum(line.count("*") for line in lines) == 1 + sum(len(block.best(attack)) for attack in block.row_names)


@pytest.mark.parametrize("long", [True, False])
def test_with_outcomes_a_terminal_marks_what_a_report_marks_and_says_what_that_means(
    long: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.reports.tables.terminal.MOST_PAIRS", 1)
    frame, found = with_outcomes(a=0.10, b=0.11, c=0.4)
    for outcomes in (None, lambda key, victim: found[key]):
        [block] = blocks(frame, outcomes=outcomes)
        lines = printed(terminal_table(frame, 100, long=long, outcomes=outcomes)[:1], 100)
        marked = {line.split()[0] for line in lines if line.rstrip().endswith("*")}
        assert marked == block.best("blend")
        assert len(marked) == (2 if outcomes else 1)
        said = " ".join(" ".join(lines).split())
        assert ("Also marked: what cannot be told from it" in said) == bool(outcomes)


def test_a_wide_terminal_gets_one_line_an_attack() -> None:
    lines = printed(terminal_table(grid(1), 250)[:1], 250)
    assert sum(line.strip().startswith("wanet ") for line in lines) == 1
    assert len(lines) < len(printed(terminal_table(grid(1), 80)[:1], 80))


@pytest.mark.parametrize(("width", "whole"), [(60, False), (80, True)])
def test_a_narrow_terminal_has_room_for_names_before_the_accuracy_on_target_classes(width: int, whole: bool) -> None:
    lines = printed(terminal_table(grid(3), width)[:1], width)
    assert ("ACC(t)" in next(line for line in lines if "defense  " in line)) == whole
    figures = [
        re.sub(r"\(\d+/\d+\)", "", line.split("fine_pruning ")[1]).split() for line in lines if "fine_pruning " in line
    ]
    assert [len(texts) for texts in figures] == [5 if whole else 4] * (len(ATTACKS) + 1)


def test_a_name_that_is_too_long_for_its_column_stays_indented() -> None:
    frame = one_attack(a=0.9).assign(knowledge="200 clean + 64 suspected")
    frame = pd.concat([frame, one_attack(**{"b" * 90: 0.8})])
    lines = printed(terminal_table(frame, 70)[:1], 70)
    continued = [line for line in lines if set(line.strip()) == {"b"}]
    assert continued
    assert all(line.startswith("   b") for line in continued)


def test_brackets_in_a_heading_are_no_mark_up() -> None:
    text = "\n".join(printed(terminal_table(grid(1), 100), 100))
    named = text.split("Target classes named")[1].split("Knowledge and cost")[0]
    assert "tac[beta=1.0]" in named


def test_the_best_mean_over_seeds_is_printed_with_its_spread_and_a_star() -> None:
    frame = pd.concat([one_attack(a=der, b=0.5).assign(seed=seed) for seed, der in enumerate([0.90, 0.92, 0.97])])
    assert any("93.0±3.6*" in line for line in printed(terminal_table(frame, 80), 80))


def test_a_wide_and_a_narrow_terminal_show_how_many_seeds_are_done() -> None:
    for width in (60, 250):
        assert "(2/3)" in "\n".join(printed(terminal_table(grid(3), width)[:1], width))


@pytest.mark.parametrize("width", [40, 120])
def test_what_the_plugins_said_is_printed_under_the_tables(width: int) -> None:
    tables = terminal_table(with_logs(), width)
    lines = printed(tables[-1:], width)
    assert max(map(len, lines)) <= width
    text = "".join("".join(lines).split())
    assert "Saidbytheplugins" in text
    assert "blenda0,2left" in text
    if width == 120:
        assert any(HOSTILE in line for line in lines)
    assert len(terminal_table(with_logs().drop(columns="log"), width)) == len(tables) - 1
