"""The figures."""

import json

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text
from report_frames import grid, one_attack

from bench.reports.blocks import blocks
from bench.reports.figures.class_statistics import class_statistics
from bench.reports.figures.der_map import der_map
from bench.reports.figures.gallery import factor
from bench.reports.figures.stream_curves import stream_curves
from bench.reports.figures.style import rendered, styled


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
        (str(line.get_marker()), line.get_markersize()): np.column_stack(line.get_data()).tolist()
        for line in figure.axes[0].lines
    }
    assert drawn["D", 5.5] == [[1, 0.2]]
    assert drawn["o", 11.0] == [[3, 0.9]]
    assert drawn["o", 5.5][0] == [0, 1.0]


def test_the_stream_figure_shows_the_mean_curve_over_seeds() -> None:
    frame = grid(3)
    frame = frame[(frame["attack"] == "sig") & (frame["defense"] == "bna")]
    other = {"triggered": [1, 3], "acc": [1.0, 1.0], "asr": [None, 0.0]}
    curves = [{**other, "ra": [None, 0.2 * seed]} for seed in range(len(frame))]
    frame = frame.assign(diagnostics=[json.dumps({"stream_curve": curve}) for curve in curves])
    [block] = blocks(frame)
    figure = stream_curves(block)
    assert figure is not None
    [line] = figure.axes[0].lines
    passed, robust = line.get_data()
    assert list(passed) == [1, 3]
    assert np.isnan(robust[0])
    assert robust[1] == pytest.approx(np.mean([20.0 * seed for seed in range(len(frame))]))
    assert stream_curves(blocks(frame.assign(diagnostics="{}"))[0]) is None


def test_the_map_of_ders_says_what_the_tables_say() -> None:
    figure = der_map(blocks(grid(3))[0])
    assert figure is not None
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert {"failed", "timeout"} <= set(texts)
    assert sum(text.endswith(" ★") for text in texts) == 4  # one for each attack but none
    assert sum("(2/3)" in text for text in texts) == 1


@pytest.mark.parametrize("attacks", [["blend"], ["blend", "wanet"], ["blend", "wanet", "sig"]])
def test_no_text_of_the_map_of_ders_is_cut(attacks: list[str]) -> None:
    frame = grid(3)
    frame = frame[frame["attack"].isin(attacks)].assign(model_label="resnet18[width=16,a_long_parameter=0.123456]")
    with styled():
        figure = der_map(blocks(frame)[0])
        assert figure is not None
        rendered(figure)
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
    page = figure.bbox
    numbers = set(figure.axes[1].get_yticklabels(which="both"))  # beside the colours; some are out of their range
    texts = [text for text in figure.findobj(Text) if text.get_text() and text not in numbers]
    assert "nothing gained" in " ".join(text.get_text() for text in texts)
    for text in texts:
        box = text.get_window_extent(canvas.get_renderer())
        assert page.x0 <= box.x0 < box.x1 <= page.x1, text
        assert page.y0 <= box.y0 < box.y1 <= page.y1, text


def test_an_attack_that_did_not_work_is_marked_in_every_figure_that_names_it() -> None:
    frame = one_attack(tac=0.9).assign(attack_label="sig", valid=False, doubt="weak")
    frame["diagnostics"] = json.dumps({"class_statistic": {"name": "n", "values": [1.0, 2.0], "flagged": []}})
    figure = class_statistics(blocks(frame)[0])
    assert figure is not None
    assert figure.axes[0].get_title(loc="left").startswith("sig †")
