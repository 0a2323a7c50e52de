"""The texts of a table's cells."""

import pandas as pd
from report_frames import grid, one_attack

from bench.reports.blocks import AVERAGE, blocks
from bench.reports.rows import CellText, rows


def test_the_texts_of_cells_are_means_words_and_tallies_and_the_best_is_marked() -> None:
    first = one_attack(a=0.9, b=0.99, c=0.5, d=0.8)[["attack", "defense", "der", "knowledge"]]
    first = first.assign(acc=0.5, asr=0.25, acc_before=0.75, acc_target_before=0.375)
    second = first.assign(seed=1, acc=0.7)
    second["status"] = ["done", "done", "failed", "failed", "done"]
    first["status"] = ["done", "done", "done", "timeout", "done"]
    [block] = blocks(pd.concat([first, second]))
    [row] = rows(block)
    assert (row.attack, row.heading, row.average) == ("blend", "blend", False)
    assert row.cells == [
        CellText(None, ["75.0±0.0", "37.5±0.0", "25.0±0.0", "–"], done=True, best=False, tally=""),
        CellText("a", ["60.0±14.1", "–", "25.0±0.0", "–", "90.0±0.0"], done=True, best=True, tally=""),
        CellText("b", ["50.0", "–", "25.0", "–", "99.0"], done=True, best=False, tally="1/2"),
        CellText("c", ["failed", "–", "–", "–", "–"], done=False, best=False, tally=""),
        CellText("d", ["60.0±14.1", "–", "25.0±0.0", "–", "80.0±0.0"], done=True, best=False, tally="", second=True),
    ]
    assert row.cells[3].word == "failed"


def test_the_average_is_the_last_row_and_its_tally_counts_victims() -> None:
    [block] = blocks(grid(1))
    *attacks, average = rows(block)
    assert [row.attack for row in attacks] == block.attacks
    assert average.average
    assert average.heading == AVERAGE
    assert {cell.defense: cell.tally for cell in average.cells} == {
        None: "", "bna": "", "fine_pruning": "3/4", "fire": "3/4", "tac[beta=1.0]": "",
    }  # fmt: skip


def test_the_heading_of_an_attack_that_did_not_work_has_a_dagger_and_no_cell_is_best() -> None:
    [row] = rows(blocks(one_attack(a=0.9, b=0.8).assign(valid=False))[0])
    assert (row.attack, row.heading) == ("blend", "blend †")
    assert not any(cell.best for cell in row.cells)
    [counted] = rows(blocks(one_attack(a=0.9, b=0.8).assign(valid=False), with_invalid=True)[0])
    assert [cell.best for cell in counted.cells] == [False, True, False]
