"""The figure of a sweep: ACC, ASR and RA over one parameter or budget, everything else equal."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle
from math import ceil

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from bench.reports.blocks import Block
from bench.reports.diagnostics import classes, parsed
from bench.reports.figures.style import COLOURS, MARKERS, fitting, headed, wrapped
from bench.reports.records import HEADS
from bench.reports.stats import RowSet, Stat
from bench.reports.sweep_values import Value
from bench.reports.sweeps import Line, Sweep

_SHOWN = ("acc", "asr", "ra")
_DECADE = 10  # from this ratio of the largest to the smallest value on, the axis is logarithmic
_MOST_TICKS = 9  # values that all have their own tick
_LABEL = 0.09  # of the axis: the width of a tick's label
_LOW, _HIGH = -4, 104  # per cent
_BEFORE = Line2D([], [], color="#555555", ls="--", lw=1.2, label="no defense")
_SEED = Line2D([], [], color="#555555", marker=".", ms=4, ls="", label="one seed")


@dataclass(frozen=True)
class _Panel:
    """One pair of axes: some (label, line, metric) over the values, and the undefended network's."""

    title: str
    curves: list[tuple[str, Line, str]]
    single: bool  # one metric: the undefended network is the same for all curves


def sweep_figure(block: Block, sweep: Sweep) -> Figure:
    """A panel for each attack with ACC, ASR and RA, the values on the x axis; with several lines, one for each of them.

    Marks are means over seeds, dots the seeds, dashes the undefended network. Values that are no quantity are
    categories; of classes, the target is named.
    """
    several = max(map(len, sweep.lines.values())) > 1 or len({own[0].label for own in sweep.lines.values()}) > 1
    panels = _by_metric(sweep) if several else _by_attack(sweep)
    width = len(_SHOWN) if several else min(3, len(panels))
    height = ceil(len(panels) / width)
    figure = Figure(figsize=(3.5 * width + 0.5, 2.7 * height + 1.0), layout="constrained")
    axes = figure.subplots(height, width, squeeze=False)
    labels = list(dict.fromkeys(label for panel in panels for label, _, _ in panel.curves))
    looks = dict(zip(labels, zip(cycle(COLOURS[:6]), cycle(MARKERS)), strict=False))
    for one, panel in zip(axes.flat, panels, strict=False):
        _draw(one, panel, sweep, looks)
    for one in axes.flat:
        if not one.lines:
            one.set_axis_off()
    for place, one in enumerate(axes.flat[: len(panels)]):
        if several or place % width == 0:
            one.set_ylabel(f"{HEADS[panels[place].curves[0][2]]} (%)" if several else "ACC, ASR, RA (%)")
        if place + width >= len(panels):
            one.set_xlabel(sweep.parameter)
    style = "-" if sweep.numeric else ""
    handles = [
        Line2D([], [], color=c, marker=m, ms=5, lw=1.4, ls=style, label=label) for label, (c, m) in looks.items()
    ]
    handles += [_copy(_BEFORE), *([_copy(_SEED)] if len(block.seeds) > 1 else [])]
    columns = fitting([*labels, "no defense"], figure)
    figure.legend(handles=handles, loc="outside lower center", ncols=columns)
    plugin = {line.label for own in sweep.lines.values() for line in own}
    headed(figure, f"{block.title} · {plugin.pop() if len(plugin) == 1 else sweep.parameter}")
    return figure


def _by_attack(sweep: Sweep) -> list[_Panel]:
    """A panel an attack, with a curve a metric."""
    return [
        _Panel(heading, [(HEADS[metric], own[0], metric) for metric in _SHOWN], single=False)
        for heading, own in sweep.lines.items()
    ]


def _by_metric(sweep: Sweep) -> list[_Panel]:
    """A row of panels an attack, one a metric, with a curve a line."""
    return [
        _Panel(heading, [(line.label, line, metric) for line in own], single=True)
        for heading, own in sweep.lines.items()
        for metric in _SHOWN
    ]


def _draw(axes: Axes, panel: _Panel, sweep: Sweep, looks: dict[str, tuple[str, str]]) -> None:
    """Draw a panel, unless none of its metrics is defined, as ASR is without an attack."""
    if all(np.isnan(own[metric]).all() for _, line, metric in panel.curves for own in line.rows.values()):
        return
    axes.set_title(wrapped(panel.title, 36), loc="left")
    for number, (label, line, metric) in enumerate(panel.curves):
        colour, marker = looks[label]
        places = [_place(value, sweep) for value in line.rows]
        order = np.argsort(places)
        at, rows = np.array(places)[order], [list(line.rows.values())[index] for index in order]
        means = [100 * _stat(own, metric).mean for own in rows]
        style = "-" if sweep.numeric else ""
        axes.plot(at, means, color=colour, marker=marker, ms=5, lw=1.4, ls=style, zorder=3)
        for x, own in zip(at, rows, strict=True):
            if len(own) > 1:
                axes.plot([x] * len(own), 100 * own[metric], color=colour, marker=".", ms=4, ls="", alpha=0.6)
        if number == 0 or not panel.single:
            before = [100 * _stat(own, f"{metric}_before").mean for own in rows]
            axes.plot(at, before, color="#555555" if panel.single else colour, ls="--", lw=1.2, zorder=1)
    axes.set_ylim(_LOW, _HIGH)
    _scale(axes, sweep, [own for _, line, _ in panel.curves for own in line.rows.values()])


def _stat(rows: RowSet, metric: str) -> Stat:
    return Stat.of(rows[metric])


def _place(value: Value, sweep: Sweep) -> float:
    return float(value) if sweep.numeric else float(sweep.points.index(value))


def _scale(axes: Axes, sweep: Sweep, rows: Sequence[RowSet]) -> None:
    """The x axis: categories, or quantities, by decades where they span some."""
    if not sweep.numeric:
        targets = {label for own in rows for noted in own["targets"] for label in classes(parsed(noted, []))}
        marked = {str(label) for label in targets} if sweep.parameter.endswith("class") else set()
        texts = [f"{value}\ntarget" if value in marked else wrapped(str(value), 10) for value in sweep.points]
        axes.set_xticks(range(len(texts)), texts)
        axes.set_xlim(-0.5, len(texts) - 0.5)
        return
    values = [float(value) for value in sweep.points]
    positive = [value for value in values if value > 0]
    if positive and values[-1] / positive[0] >= _DECADE and values[0] >= 0:
        if values[0] > 0:
            axes.set_xscale("log")
        else:
            axes.set_xscale("symlog", linthresh=positive[0], linscale=0.5)
    if len(values) <= _MOST_TICKS:
        axes.set_xticks(values, _apart(axes, values))
        axes.minorticks_off()


def _apart(axes: Axes, values: list[float]) -> list[str]:
    """The labels of the values, without those that would run into the one before or into the last."""
    axes.get_xlim()  # sets the limits, which are otherwise set when the figure is drawn
    at = axes.transAxes.inverted().transform(axes.transData.transform([(value, 0) for value in values]))[:, 0]
    labels, free = [], -_LABEL
    for place, value in zip(at, values, strict=True):
        told = value == values[-1] or (place - free >= _LABEL and at[-1] - place >= _LABEL)
        labels.append(f"{value:g}" if told else "")
        free = place if told else free
    return labels


def _copy(line: Line2D) -> Line2D:
    """A handle of its own for each figure: an artist belongs to one."""
    own = Line2D([], [], label=line.get_label())
    own.update_from(line)
    own.set_label(line.get_label())
    return own
