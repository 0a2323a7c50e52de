"""A defense that flags inputs and changes no prediction has no DER."""

from io import StringIO
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.colors import to_hex
from report_frames import grid, one_attack, printed

from bench.records import read_records, to_frame
from bench.reports import terminal_table
from bench.reports.blocks import AVERAGE, blocks
from bench.reports.figures.acc_asr import acc_asr
from bench.reports.figures.der_map import der_map
from bench.reports.figures.style import GRID
from bench.reports.legend import legend
from bench.reports.names.titles import display_names
from bench.reports.tables.csv import csv


def with_a_detector() -> pd.DataFrame:
    """Three seeds of every attack; bna only flags, although its records have a DER of 1."""
    frame = grid(3)
    frame = frame[frame["status"] == "done"]
    own = frame["defense"] == "bna"
    return frame.assign(detects_only=own, der=frame["der"].mask(own & frame["der"].notna(), 1.0))


def test_a_detector_has_no_der_in_cells_averages_and_numbers_and_is_never_best() -> None:
    frame = with_a_detector()
    [block] = blocks(frame)
    assert block.detectors == ["bna"]
    for attack in block.row_names:
        assert np.isnan(block.cells[attack, "bna"].stat("der").mean)
        assert "bna" not in block.best(attack)
    assert (
        block.cells[AVERAGE, "bna"].stat("asr").mean
        == blocks(frame.drop(columns="detects_only"))[0].cells[AVERAGE, "bna"].stat("asr").mean
    )
    numbers = pd.read_csv(StringIO(csv([block])), keep_default_na=True)
    assert set(numbers.loc[numbers["defense"] == "bna", "der_n"]) == {0}


def test_a_detector_in_a_table_of_means_is_one_when_the_table_is_read_again(tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text(csv(blocks(with_a_detector())))
    [block] = blocks(to_frame(read_records(tmp_path / "table.csv")[0]))
    assert block.detectors == ["bna"]
    assert "has no DER: bna." in " ".join(legend(block, best="*"))


def test_a_detector_of_which_all_is_left_out_is_one_in_the_numbers() -> None:
    old = with_a_detector().assign(finished="2026-01-01T00:00:00+00:00", model_params='{"x": 1}')
    new = old[old["defense"] != "bna"].assign(finished="2027-01-01T00:00:00+00:00", model_params="{}")
    numbers = pd.read_csv(StringIO(csv(blocks(pd.concat([old, new], ignore_index=True)))))
    assert set(numbers.loc[numbers["seeds"] == 0, "defense"]) == {"bna"}
    assert set(numbers.loc[numbers["detects_only"] == "yes", "defense"]) == {"bna"}


def test_a_detector_is_no_rival_even_if_only_one_other_was_given_the_same() -> None:
    frame = one_attack(a=0.9, b=0.8)
    assert blocks(frame)[0].best("blend") == {"a"}
    assert blocks(frame.assign(detects_only=frame["defense"] == "b"))[0].best("blend") == set()


def test_one_record_that_says_so_makes_the_whole_column_a_detector() -> None:
    first = one_attack(a=0.9).assign(detects_only=[False, True])
    frame = pd.concat([first, one_attack(a=0.9).assign(seed=1)], ignore_index=True)  # made before it was recorded
    [block] = blocks(frame)
    assert block.cells["blend", "a"].stat("der").count == 0
    assert block.cells["blend", "a"].stat("acc").count == 2


def test_the_map_of_ders_has_a_grey_field_with_a_dash_for_a_detector() -> None:
    [block] = blocks(with_a_detector())
    figure = der_map(block)
    assert figure is not None
    texts = {text.get_position(): text.get_text() for text in figure.axes[0].texts}
    names = {name: label for label, name in display_names(block).defenses.items()}
    rows = {names[text]: place[1] for place, text in texts.items() if text in names}
    own = {place: text for place, text in texts.items() if place[1] == rows["bna"] and text not in names}
    assert own
    assert {text.split(" ")[0] for text in own.values()} == {"–"}
    fields = figure.axes[0].collections[0]
    colours = {path.vertices[:4].mean(axis=0).round(3).tolist()[1]: set() for path in fields.get_paths()}
    for path, colour in zip(fields.get_paths(), fields.get_facecolors(), strict=True):
        colours[path.vertices[:4].mean(axis=0).round(3).tolist()[1]].add(to_hex(colour))
    assert colours[round(rows["bna"], 3)] == {GRID}
    assert GRID not in colours[round(rows["tac[beta=1.0]"], 3)]


def test_accuracy_against_attack_success_has_no_panel_of_a_detector() -> None:
    figure = acc_asr(blocks(with_a_detector())[0])
    assert figure is not None
    titles = {axes.get_title(loc="left") for axes in figure.axes}
    assert "FIRE" in titles
    assert "BNA" not in titles


def test_the_legend_says_why_a_detector_has_no_der() -> None:
    frame = with_a_detector()
    told = legend(blocks(frame)[0], best="*")
    assert "Only flags inputs and changes no prediction, so has no DER: bna." in told
    assert not any("Only flags" in line for line in legend(blocks(grid(3))[0], best="*"))
    assert "100.0±0.0*" not in "\n".join(printed(terminal_table(frame, 250), 250))
