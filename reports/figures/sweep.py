"""The figure of a sweep: ACC, ASR and RA over one parameter or budget, everything else equal."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from bench.reports.blocks import Block
from bench.reports.diagnostics import classes, parsed
from bench.reports.figures.letters import folded, width
from bench.reports.figures.marks import Look, bare, key, lines, ruled
from bench.reports.figures.sheet import Sheet, sheet
from bench.reports.figures.style import SMALL, SOFT, looks
from bench.reports.figures.sweep_panels import SHOWN, Curve, Form, Panel, across, form, panels
from bench.reports.names.titles import display_names
from bench.reports.records import HEADS
from bench.reports.stats import RowSet, Stat
from bench.reports.sweep_values import Value
from bench.reports.sweeps import Sweep

_DECADE = 10  # from this ratio of the largest to the smallest value on, the axis is logarithmic
_MOST_TICKS = 9  # values that all have their own tick
_APART = 4  # points between the labels of two ticks
_LOW, _HIGH = -4, 104  # per cent
_BESIDE = 20  # points beside a panel that is not the first of its row and has a metric of its own
_ONE = 250  # points: the width of a figure of one panel


def sweep_figure(block: Block, sweep: Sweep) -> Figure:
    """A panel for each attack with ACC, ASR and RA, the values on the x axis; with several lines, one for each of them.

    Marks are means over seeds, dots the seeds, dashes the undefended network. Where lines or attacks are too many for
    that, each line has a panel with a thin curve an attack, and their mean. Values that are no quantity are categories;
    of classes, the target is named.
    """
    sweep = _displayed(block, sweep)
    shown, own_form = panels(sweep), form(sweep)
    metrics = [HEADS[metric] for metric in SHOWN]
    labels = list(dict.fromkeys(curve.label for panel in shown for curve in panel.curves))
    look = looks(metrics if own_form is not Form.METRIC else labels)
    made = _sheet(block, sweep, shown, _keys(block, sweep, look))
    for place, (axes, panel) in enumerate(zip(made.panels, shown, strict=True)):
        if not panel.curves:
            axes.set_axis_off()
            continue
        if own_form is Form.LINE:
            _summed(axes, panel, sweep, look)
        else:
            _draw(axes, panel, sweep, look)
        axes.set_ylim(_LOW, _HIGH)
        _scale(axes, sweep, [rows for curve in panel.curves for rows in curve.line.rows.values()], made.size[0])
        ruled(axes)
        bare(axes, x=False, y=not made.first(place))
        if made.first(place) or own_form is Form.METRIC:
            made.beside(place, panel.beside, None if made.first(place) else _BESIDE)
        if made.below(place):
            ticks = max(text.get_text().count("\n") + 1 for text in axes.get_xticklabels())
            made.under(place, folded(sweep.parameter, made.size[0], SMALL, most=1), size=SMALL, lines=ticks)
    return made.figure


def _displayed(block: Block, sweep: Sweep) -> Sweep:
    """The sweep with display names of attacks and of lines, which are of defenses."""
    names = display_names(block)
    lines = {
        names.attack(heading): [replace(line, label=names.defense(line.label)) for line in own]
        for heading, own in sweep.lines.items()
    }
    return replace(sweep, lines=lines) if len(lines) == len(sweep.lines) else sweep


def _sheet(block: Block, sweep: Sweep, shown: list[Panel], keys: list[Line2D]) -> Sheet:
    plugin = {line.label for own in sweep.lines.values() for line in own}
    title = f"{display_names(block).heading} · {plugin.pop() if len(plugin) == 1 else sweep.parameter}"
    count = across(sweep, len(shown))
    high = {1: 150, 2: 130, 3: 104}.get(count, 76)
    more = {"wide": _ONE} if count == 1 else {}
    apart = _BESIDE if form(sweep) is Form.METRIC else 9
    under = 12 if sweep.numeric else 20
    return sheet(
        title, [panel.title for panel in shown], count, high, keys=keys, left=30, right=6, apart=apart, under=under,
        below=under + 14, **more,
    )  # fmt: skip


def _keys(block: Block, sweep: Sweep, look: dict[str, Look]) -> list[Line2D]:
    style = "-" if sweep.numeric else ""
    if form(sweep) is Form.LINE:
        keys = [key(f"{label}: mean of the attacks", *own, size=4, line=style) for label, own in look.items()]
        return [*keys, key("one attack (thin)", SOFT, line="-")]
    keys = [key(label, *own, size=4, line=style) for label, own in look.items()]
    keys.append(key("no defense", SOFT, line="--"))
    return keys + [key("one seed", SOFT, ".", size=4)] * (len(block.seeds) > 1)


def _draw(axes: Axes, panel: Panel, sweep: Sweep, look: dict[str, Look]) -> None:
    """The curves of a panel with their seeds, and the undefended network, which is the same for those of one metric."""
    single = len({curve.metric for curve in panel.curves}) == 1
    for number, curve in enumerate(panel.curves):
        colour, marker = look[curve.label]
        at, rows = _ordered(curve, sweep)
        means = [100 * Stat.of(own[curve.metric]).mean for own in rows]
        axes.plot(at, means, color=colour, marker=marker, ms=4, lw=1.2, ls="-" if sweep.numeric else "", zorder=3)
        seeds = [
            (x, 100 * value) for x, own in zip(at, rows, strict=True) if len(own) > 1 for value in own[curve.metric]
        ]
        if seeds:
            axes.plot(*zip(*seeds, strict=True), color=colour, marker=".", ms=3, mew=0, ls="", alpha=0.6)
        if number == 0 or not single:
            before = [100 * Stat.of(own[f"{curve.metric}_before"]).mean for own in rows]
            axes.plot(at, before, color=SOFT if single else colour, ls="--", lw=1, zorder=1)


def _summed(axes: Axes, panel: Panel, sweep: Sweep, look: dict[str, Look]) -> None:
    """A thin curve an attack, and the mean of those that have all values."""
    for metric in SHOWN:
        colour, marker = look[HEADS[metric]]
        curves = [curve for curve in panel.curves if curve.metric == metric]
        means = []
        for curve in curves:
            at, rows = _ordered(curve, sweep)
            means.append((at, [100 * Stat.of(own[metric]).mean for own in rows]))
        drawn = [(at, own) for at, own in means if not np.isnan(own).all()]
        if sweep.numeric:
            lines(axes, [list(zip(at, own, strict=True)) for at, own in drawn], f"{colour}59", thick=0.5)
        longest = max((len(at) for at, _ in drawn), default=0)
        whole = [own for at, own in drawn if len(at) == longest and not np.isnan(own).any()]
        if whole:
            at = next(at for at, own in drawn if own is whole[0])
            style = "-" if sweep.numeric else ""
            axes.plot(at, np.mean(whole, axis=0), color=colour, marker=marker, ms=3.5, lw=1.2, ls=style, zorder=3)


def _ordered(curve: Curve, sweep: Sweep) -> tuple[NDArray[np.float64], list[RowSet]]:
    """The places of a curve's values on the axis, from left to right, and their rows."""
    places = np.array([_place(value, sweep) for value in curve.line.rows])
    order = np.argsort(places)
    rows = list(curve.line.rows.values())
    return places[order], [rows[index] for index in order]


def _place(value: Value, sweep: Sweep) -> float:
    return float(value) if sweep.numeric else float(sweep.points.index(value))


def _scale(axes: Axes, sweep: Sweep, rows: Sequence[RowSet], wide: float) -> None:
    """The x axis: categories, or quantities, by decades where they span some."""
    if not sweep.numeric:
        targets = {label for own in rows for noted in own["targets"] for label in classes(parsed(noted, []))}
        marked = {str(label) for label in targets} if sweep.parameter.endswith("class") else set()
        room = wide / len(sweep.points) - 2
        texts = [f"{value}\ntarget" if value in marked else folded(str(value), room, SMALL) for value in sweep.points]
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
        axes.set_xticks(values, _apart(axes, values, wide))
        axes.minorticks_off()


def _apart(axes: Axes, values: list[float], wide: float) -> list[str]:
    """The labels of the values, without those that would run into the one before or into the last."""
    axes.set_xlim(axes.get_xlim())  # which are otherwise set when the figure is drawn
    ends = axes.transAxes.inverted().transform(axes.transData.transform([(value, 0) for value in values]))[:, 0] * wide
    texts = [f"{value:g}" for value in values]
    halves = [width(text, SMALL) / 2 + _APART / 2 for text in texts]
    labels, free = [], -np.inf
    for at, half, text in zip(ends, halves, texts, strict=True):
        told = at == ends[-1] or (at - half >= free and at + half <= ends[-1] - halves[-1])
        labels.append(text if told else "")
        free = at + half if told else free
    return labels
