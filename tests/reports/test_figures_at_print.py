"""Every figure at the width of a page: letters of six points at least, nothing over another text or cut off."""

import json
from collections.abc import Callable
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from large_frames import large
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.text import Text

from bench.reports.blocks import AVERAGE, Block, blocks
from bench.reports.figures.acc_asr import acc_asr
from bench.reports.figures.activation_histograms import activation_histograms
from bench.reports.figures.class_statistics import class_statistics
from bench.reports.figures.der_map import der_map
from bench.reports.figures.means import front, mean
from bench.reports.figures.overview import overview
from bench.reports.figures.stream_curves import stream_curves
from bench.reports.figures.style import styled
from bench.reports.names.titles import display_names

PAGE = 17 / 2.54 * 72  # points
LEAST = 6.0
FIGURES = [overview, acc_asr, der_map, class_statistics, activation_histograms, stream_curves]
SMALL, LARGE = (2, 3), (25, 20)  # defenses and attacks
CASES = [(draw, SMALL) for draw in FIGURES] + [(draw, LARGE) for draw in FIGURES[:3]]
CASES += [pytest.param(draw, LARGE, marks=pytest.mark.slow) for draw in FIGURES[3:]]


@cache
def block(defenses: int, attacks: int) -> Block:
    return blocks(large(defenses, attacks))[0]


@cache
def figure(draw: Callable[[Block], Figure | None], defenses: int, attacks: int) -> Figure:
    with styled():
        made = draw(block(defenses, attacks))
        assert made is not None
        FigureCanvasAgg(made).draw()
    return made


def written(made: Figure) -> tuple[list[Text], np.ndarray]:
    """The texts that are seen, and their boxes (n, 4) in points: left, bottom, right, top."""
    axes = [axis for one in made.axes if one.axison for axis in (one.xaxis, one.yaxis)]
    of_axes = {text for one in made.axes for axis in (one.xaxis, one.yaxis) for text in axis.findobj(Text)}
    seen = {axis.label for axis in axes}
    for axis in axes:
        low, high = sorted(axis.get_view_interval())
        seen |= {tick.label1 for tick in axis.get_major_ticks() if low <= tick.get_loc() <= high}
    texts = [
        text
        for text in made.findobj(Text)
        if text.get_text() and text.get_visible() and (text not in of_axes or text in seen)
    ]
    renderer = made.canvas.get_renderer()  # type: ignore[attr-defined]
    return texts, np.array([text.get_window_extent(renderer).extents for text in texts]) * 72 / made.dpi


def touching(boxes: np.ndarray) -> np.ndarray:
    """The pairs (n, 2) of boxes that lie on each other by more than half a point."""
    under = (boxes[:, None, :2] + 0.5 < boxes[None, :, 2:] - 0.5).all(axis=2)
    return np.argwhere(np.triu(under & under.T, 1))


@pytest.mark.parametrize(("draw", "size"), CASES, ids=lambda given: getattr(given, "__name__", given))
def test_a_figure_is_legible_at_the_width_of_a_page(
    draw: Callable[[Block], Figure | None], size: tuple[int, int]
) -> None:
    made = figure(draw, *size)
    wide, high = made.get_size_inches() * 72
    assert wide <= PAGE + 0.01
    texts, boxes = written(made)
    assert len(texts) > 3
    assert min(text.get_fontsize() for text in texts) >= LEAST
    cut = [(text, box) for text, box in zip(texts, boxes, strict=True) if (box < -0.5).any()]
    cut += [(text, box) for text, box in zip(texts, boxes, strict=True) if box[2] > wide + 0.5 or box[3] > high + 0.5]
    assert not cut
    assert not [(texts[one].get_text(), texts[other].get_text()) for one, other in touching(boxes)]


def test_every_attack_has_a_colour_and_marker_of_its_own_and_those_that_work_are_named_in_the_panel() -> None:
    made = figure(acc_asr, 25, 20)
    [legend] = made.legends
    labels = [text.get_text() for text in legend.get_texts()][:-2]
    looks = {(to_hex(line.get_color()), line.get_marker()) for line in legend.get_lines()[:-2]}
    assert len(labels) == len(looks) == 19  # without the control
    assert {text.get_text() for axes in made.axes for text in axes.texts} & set(labels)


def test_what_lies_beyond_an_axis_is_told() -> None:
    cells = block(25, 20).cells
    ruined = next(name for name in block(25, 20).defenses if cells["badnets", name].stat("acc").mean < 0.5)
    shown = display_names(block(25, 20)).defense(ruined)
    [panel] = [axes for axes in figure(acc_asr, 25, 20).axes if axes.get_title(loc="left").replace("\n", " ") == shown]
    assert panel.get_ylim()[0] > 50
    told = [text.get_text() for text in panel.texts if text.get_text().startswith("ACC ")]
    accs = [100 * cells[attack, ruined].stat("acc").mean for attack in block(25, 20).attacks[1:]]
    assert told == [f"ACC {min(accs):.1f} to {max(accs):.1f}"]
    [over] = figure(overview, 25, 20).axes
    [label] = [text.get_text() for text in over.texts if text.get_text().startswith(shown)]
    assert float(label.split("fall ")[1]) > over.get_ylim()[1]


def test_a_class_far_from_all_others_is_told() -> None:
    frame = large(1, 2)
    noted = {
        "class_statistic": {"name": "n", "values": [1.0, 1.1, 0.9, 1.0, 1.05, 0.95, 1.0, 1.1, 0.9, 7e3], "flagged": []}
    }
    made = class_statistics(blocks(frame.assign(diagnostics=json.dumps(noted)))[0])
    assert made is not None
    for axes in made.axes:
        assert axes.get_ylim()[1] < 2
        assert [text.get_text() for text in axes.texts] == ["7e+03"]


def test_defenses_stand_by_their_average_der_within_what_they_were_given_and_those_with_less_last() -> None:
    compared = block(25, 20)
    texts = sorted(figure(der_map, 25, 20).axes[0].texts, key=lambda text: text.get_position()[1])
    names = {name: defense for defense, name in display_names(compared).defenses.items()}
    rows = [names[name] for text in texts if (name := text.get_text().replace("\n", " ")) in names]
    for group in compared.groups:
        averages = [compared.cells[AVERAGE, name] for name in rows if name in group.defenses]
        assert len(averages) == len(group.defenses)
        own = [(own.done == own.total, own.stat("der").mean) for own in averages]
        assert own == sorted(own, reverse=True)


def test_the_overview_draws_the_front_of_each_group_and_oracles_hollow() -> None:
    compared = block(25, 20)
    [axes] = figure(overview, 25, 20).axes
    hollow = [own for own in axes.collections if to_hex(own.get_facecolors()[0]) == "#ffffff"]
    [oracles] = [group for group in compared.groups if group.oracles]
    assert sum(len(own.get_offsets()) for own in hollow) == len(oracles.defenses)
    for group in compared.groups:
        means = [own for name in group.defenses if (own := mean(compared, name))]
        whole = [one for one in means if compared.cells[AVERAGE, one.name].done == 19]
        assert {one.name for one in means if not one.missing} == {one.name for one in whole}
        best = {one.name for one in front(means)}
        for one in whole:
            beaten = any(other.asr <= one.asr and other.fall <= one.fall and other != one for other in whole)
            assert (one.name in best) != beaten


def test_a_mean_is_over_the_attacks_that_count_and_its_bar_is_the_interval_where_there_is_one() -> None:
    compared = block(2, 3)
    name = compared.defenses[0]
    own = mean(compared, name)
    assert own is not None
    average = compared.cells[AVERAGE, name]
    assert own.asr == pytest.approx(100 * average.stat("asr").mean)
    before = np.mean([compared.before[attack].stat("acc").mean for attack in compared.attacks[1:]])
    assert own.fall == pytest.approx(100 * (before - average.stat("acc").mean))
    assert own.asr_bar is own.fall_bar is None  # from one seed alone, an average has no interval
    stats = {
        metric: replace(stat, low=stat.mean - 0.01, high=stat.mean + 0.02) for metric, stat in average.stats.items()
    }
    told = replace(compared, cells=compared.cells | {(AVERAGE, name): replace(average, stats=stats)})
    sure = mean(told, name)
    assert sure is not None
    assert sure.asr_bar == pytest.approx((own.asr - 1, own.asr + 2))
    assert sure.fall_bar == pytest.approx((own.fall - 2, own.fall + 1))
