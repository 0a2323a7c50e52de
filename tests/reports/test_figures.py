"""The figures."""

import json

import numpy as np
import pandas as pd
import pytest
from report_frames import grid, one_attack

from bench.reports.blocks import blocks
from bench.reports.figures.acc_asr import acc_asr
from bench.reports.figures.activation_histograms import activation_histograms
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


def test_before_and_after_a_defense_are_over_the_same_seeds() -> None:
    """Of two seeds, b has the first; the second network has another ACC and ASR."""
    first, second = (one_attack(a=0.9, b=0.8).assign(seed=seed, acc_before=acc, asr_before=asr) for seed, acc, asr in (
        (0, 0.9, 1.0), (1, 0.8, 0.9),
    ))  # fmt: skip
    frame = pd.concat([first, second[second["defense"] != "b"]], ignore_index=True)
    figure = acc_asr(blocks(frame)[0])
    assert figure is not None
    before = {axes.get_title(loc="left"): axes.collections[0].get_offsets().round(3).tolist() for axes in figure.axes}
    assert before == {"a": [[95.0, 85.0]], "b": [[100.0, 90.0]]}


def test_activations_are_of_one_seed_which_is_named_where_there_are_several() -> None:
    shares = {"clean": [1.0], "triggered": [1.0], "aligned": [1.0]}
    noted = json.dumps({"activations": {"3": [{"layer": "net", "channel": 0, "low": 0.0, "width": 1.0, **shares}]}})
    frame = one_attack(a=0.9).assign(diagnostics="{}")
    later = one_attack(a=0.9).assign(seed=4, diagnostics=noted)
    titles = []
    for seeds in (pd.concat([frame, later], ignore_index=True), later):
        figure = activation_histograms(blocks(seeds)[0])
        assert figure is not None
        titles += [axes.get_title(loc="left") for axes in figure.axes]
    assert [title.endswith("class 3 · seed 4") for title in titles] == [True, False]


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
