"""The overview and the diagram of ranks: they draw what the tables say, and say what they leave out."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from large_frames import large
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Text
from report_frames import grid

from bench.reports.blocks import AVERAGE, Block, blocks
from bench.reports.figures.critical_difference import critical_difference
from bench.reports.figures.overview import overview
from bench.reports.figures.style import styled
from bench.reports.uncertainty import ranks


def drawn(block: Block) -> tuple[Figure, Axes]:
    """The overview and its panel."""
    with styled():
        made = overview(block)
    assert made is not None
    [axes] = made.axes
    return made, axes


def keys(made: Figure) -> str:
    return "; ".join(text.get_text() for legend in made.legends for text in legend.get_texts())


def horizontal(axes: Axes) -> list[tuple[float, float]]:
    """The ends of the horizontal bars of marks, which are thinner than axes and thicker than fronts."""
    bars = [line.get_xydata() for line in axes.lines if line.get_linewidth() == 0.8]
    pairs = [one[at : at + 2] for one in bars for at in range(0, len(one), 3)]
    return sorted((float(a[0]), float(b[0])) for a, b in pairs if a[0] != b[0])


def undefended_at(axes: Axes) -> float:
    """Where the star is: the mark that is drawn first."""
    return float(axes.collections[0].get_offsets()[0][0])


@pytest.mark.parametrize("valid", [("wanet",), ("blend", "wanet")])
def test_the_undefended_network_stands_at_its_mean_over_the_attacks_that_count(valid: tuple[str, ...]) -> None:
    frame = grid(1).query("status == 'done' and defense != 'fire'")
    failed = ~frame["attack"].isin([*valid, "none"])
    frame.loc[failed, ["valid", "doubt"]] = [False, "weak"]
    frame.loc[failed, "asr_before"] = 0.12
    frame["valid"] = frame["valid"].fillna(True)
    own = frame[(frame["defense"] == "none") & frame["attack"].isin(valid)]
    assert undefended_at(drawn(blocks(frame)[0])[1]) == pytest.approx(100 * own["asr_before"].mean())
    everything = frame[(frame["defense"] == "none") & (frame["attack"] != "none")]
    again = undefended_at(drawn(blocks(frame, with_invalid=True)[0])[1])
    assert again == pytest.approx(100 * everything["asr_before"].mean())


def test_bars_are_the_intervals_of_the_tables_within_the_possible_with_an_arrow_where_they_go_on() -> None:
    [block] = blocks(large(5, 4, seeds=3))
    made, axes = drawn(block)
    stats = [block.cells[AVERAGE, name].stat("asr") for name in block.defenses]
    expected = sorted((100 * one.low, 100 * one.high) for one in stats)
    low, high = axes.get_xlim()
    assert np.array(horizontal(axes)) == pytest.approx(np.clip(expected, max(low, 0), high))
    assert all(0 <= end <= 100 for bar in horizontal(axes) for end in bar)
    assert "95 % intervals" in keys(made)
    name = block.defenses[-1]
    wide = {
        metric: replace(stat, low=-0.5, high=1.5) if metric == "asr" else replace(stat, low=stat.mean - 0.9)
        for metric, stat in block.cells[AVERAGE, name].stats.items()
    }
    cell = replace(block.cells[AVERAGE, name], stats=wide)
    _, axes = drawn(replace(block, cells=block.cells | {(AVERAGE, name): cell}))
    assert all(0 <= end <= 100 for bar in horizontal(axes) for end in bar)
    ends = [end for line in axes.lines if line.get_linewidth() == 0.8 for end in line.get_ydata() if end == end]
    beyond = max(ends) >= axes.get_ylim()[1]
    assert beyond == any(line.get_markersize() == 4.5 and line.get_marker() != "None" for line in axes.lines)


def test_the_figure_says_why_it_has_no_bars_and_what_takes_no_part_in_the_front() -> None:
    many, axes = drawn(blocks(large(14, 4, seeds=2))[0])
    assert not [bar for bar in horizontal(axes) if bar != axes.get_xlim()]
    assert "no intervals: more than 12 defenses" in keys(many)
    single, _ = drawn(blocks(large(3, 4))[0])
    assert "no intervals: these records alone" in keys(single)
    frame = large(3, 4)
    frame.loc[(frame["attack"] == "sig") & (frame["defense"] == "nad"), "status"] = "failed"
    partly, axes = drawn(blocks(frame)[0])
    sizes = [float(np.sqrt(one.get_sizes()[0])) for one in axes.collections[1:]]
    assert "(2/3): a mean over other victims, so no part of the front" in keys(partly)
    assert "no part of the front" not in keys(single)
    assert len(set(sizes)) == 2
    assert any(text.get_text().endswith("(2/3)") for text in axes.texts)


def test_the_diagram_of_ranks_has_its_test_on_it_and_no_line_through_a_letter() -> None:
    [block] = blocks(grid(3))
    with styled():
        made = critical_difference(block)
        assert made is not None
        FigureCanvasAgg(made).draw()
    [group] = [group for group in block.groups if (found := ranks.ranking(block, group)) and found.testable]
    found = ranks.ranking(block, group)
    assert found is not None
    texts = [text for text in made.findobj(Text) if text.get_text() and text.get_visible()]
    said = " ".join(text.get_text().replace("\n", " ") for text in texts)
    assert ranks.tested(found) in said
    assert f"critical difference {ranks.critical_difference(found):.2f}" in said
    [axes] = made.axes
    boxes = letters(made, axes)
    wide, high = made.get_size_inches() * made.dpi
    assert all(box[0] >= 0 and box[1] >= 0 and box[2] <= wide and box[3] <= high for box in boxes)
    assert not any(runs_through(line, boxes) for line in axes.lines)


@pytest.mark.parametrize("frame", [grid(1), large(8, 4), large(3, 4)], ids=["grid", "8x4", "3x4"])
def test_no_front_and_no_axis_runs_through_a_label_of_the_overview(frame: pd.DataFrame) -> None:
    made, axes = drawn(blocks(frame)[0])
    FigureCanvasAgg(made).draw()
    boxes = letters(made, axes)
    ruled = [line for line in axes.lines if line.get_linewidth() in (0.6, 0.7)]  # the axis, and the fronts
    assert len(boxes) > 2
    assert len(ruled) > 1
    assert not any(runs_through(line, boxes) for line in ruled)


def letters(made: Figure, axes: Axes) -> list[np.ndarray]:
    """The boxes (x0, y0, x1, y1) of a panel's texts, in pixels."""
    renderer = made.canvas.get_renderer()  # type: ignore[attr-defined]
    return [text.get_window_extent(renderer).extents for text in axes.texts]


def runs_through(line: Line2D, boxes: list[np.ndarray]) -> bool:
    points = line.get_transform().transform(line.get_xydata())
    ways = [start + np.linspace(0, 1, 200)[:, None] * (end - start) for start, end in pairwise(points)]
    return any(((way > box[:2]) & (way < box[2:])).all(axis=1).any() for way in ways for box in boxes)
