"""The figures."""

import json

import numpy as np
import pytest
from report_frames import grid, one_attack

from bench.reports.blocks import blocks
from bench.reports.figures.class_statistics import class_statistics
from bench.reports.figures.der_map import der_map
from bench.reports.figures.gallery import factor
from bench.reports.figures.stream_curves import stream_curves


def test_the_difference_is_amplified_as_far_as_grey_allows() -> None:
    clean = np.zeros((1, 4, 4))
    assert factor(clean, clean + 0.04) == 10
    assert factor(clean, clean + 0.05) == 10
    assert factor(clean, clean + 0.06) == 5
    assert factor(clean, clean + 1) == 0.5


def test_the_class_figure_marks_targets_and_flagged_classes() -> None:
    frame = grid(1)
    frame = frame[(frame["attack"] == "sig") & (frame["defense"] == "bna")]
    noted = {"class_statistic": {"name": "norm", "values": [1.0, 0.2, None, 0.9], "flagged": [3]}}
    figure = class_statistics(blocks(frame.assign(targets="[1]", diagnostics=json.dumps(noted)))[0])
    assert figure is not None
    drawn = {
        (str(line.get_marker()), line.get_markerfacecolor() == "none"): np.column_stack(line.get_data()).tolist()
        for line in figure.axes[0].lines
    }
    assert drawn["D", False] == [[1, 0.2]]
    assert drawn["o", True] == [[3, 0.9]]
    assert drawn["o", False][0] == [0, 1.0]


def test_the_stream_figure_shows_the_mean_curve_over_seeds() -> None:
    frame = grid(3)
    frame = frame[(frame["attack"] == "sig") & (frame["defense"] == "bna")]
    other = {"triggered": [1, 3], "acc": [1.0, 1.0], "asr": [None, 0.0]}
    curves = [{**other, "ra": [None, 0.2 * seed]} for seed in range(len(frame))]
    frame = frame.assign(diagnostics=[json.dumps({"stream_curve": curve}) for curve in curves])
    [block] = blocks(frame)
    figure = stream_curves(block)
    assert figure is not None
    [line] = [line for line in figure.axes[0].lines if line.get_marker() != "None"]
    passed, robust = line.get_data()
    assert list(passed) == [1, 3]
    assert np.isnan(robust[0])
    assert robust[1] == pytest.approx(np.mean([20.0 * seed for seed in range(len(frame))]))
    assert stream_curves(blocks(frame.assign(diagnostics="{}"))[0]) is None


def test_the_map_of_ders_says_what_the_tables_say() -> None:
    figure = der_map(blocks(grid(3))[0])
    assert figure is not None
    texts = figure.axes[0].texts
    assert {"failed", "timeout"} <= {text.get_text() for text in texts}
    best = [text for text in texts if text.get_weight() == "bold" and text.get_text()[0].isdigit()]
    assert len(best) == 4  # one for each attack but none
    assert sum("(2/3)" in text.get_text() for text in texts) == 1


def test_an_attack_that_did_not_work_is_marked_in_every_figure_that_names_it() -> None:
    frame = one_attack(tac=0.9).assign(attack_label="sig", valid=False, doubt="weak")
    frame["diagnostics"] = json.dumps({"class_statistic": {"name": "n", "values": [1.0, 2.0], "flagged": []}})
    figure = class_statistics(blocks(frame)[0])
    assert figure is not None
    assert figure.axes[0].get_title(loc="left").startswith("sig †")
