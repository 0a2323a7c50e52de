"""The figure of class statistics: what a defense computed for every class, and which classes it flagged as targets."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.reports.blocks import Block
from bench.reports.diagnostics import class_statistic, classes, parsed
from bench.reports.figures.class_strips import SQUEEZED, Noted, class_strips
from bench.reports.figures.letters import folded
from bench.reports.figures.marks import arrow, key, ruled
from bench.reports.figures.sheet import sheet
from bench.reports.figures.spans import Span, span
from bench.reports.figures.style import LEAST, PLAIN, SMALL, SOFT, TARGET
from bench.reports.names.shortened import figure_names

_MOST = 12  # panels, one an attack and defense; with more, the attacks of a defense share one
_MOST_ACROSS, _HIGH, _BESIDE = 4, 96, 38  # the panels' height, and what is beside each, in points
_TOLD = 2  # classes beyond an end of the axis that all have their number
_TICKS = 20  # classes that all have a tick


def class_statistics(block: Block) -> Figure | None:
    """Attacks as rows, defenses as columns; a dot a class and seed, the targets and the flagged classes marked.

    Many cells are summed up, a panel a defense (``class_strips``). A value far from all others is drawn at the end of
    the axis, with an arrow and its number. None where no defense noted a statistic.
    """
    noted = {
        (attack, defense): own
        for attack in block.attacks
        for defense in block.defenses
        if (own := _statistics(block, attack, defense))
    }
    if not noted:
        return None
    attacks = [attack for attack in block.attacks if any(key[0] == attack for key in noted)]
    defenses = [name for name in block.defenses if any(key[1] == name for key in noted)]
    if len(attacks) * len(defenses) > _MOST or len(defenses) > _MOST_ACROSS:
        return class_strips(block, noted, attacks, defenses)
    shown = figure_names(block)
    names = [
        f"{shown.attack(block.marked(attack))} · {shown.defense(defense)}" for attack in attacks for defense in defenses
    ]
    keys = [
        key("class", PLAIN, "o"),
        key("true target class", TARGET, "D"),
        key("flagged by the defense", "black", "o", hollow=True, size=8),
    ]
    across = len(defenses)
    made = sheet(shown.heading, names, across, _HIGH, keys=keys, left=_BESIDE, apart=_BESIDE + 2, under=12, below=26)
    for place, axes in enumerate(made.panels):
        cell = attacks[place // across], defenses[place % across]
        _draw(axes, noted.get(cell, []))
        if made.below(place):
            made.under(place, "class")
    return made.figure


def _statistics(block: Block, attack: str, defense: str) -> list[Noted]:
    """The well-formed statistics that the done cells noted, one a seed."""
    records = block.done_records(attack, defense)
    if not records:
        return []
    noted = [class_statistic(text) for text in records["diagnostics"]]
    targets = [classes(parsed(text, [])) for text in records["targets"]]
    return [(statistic, true) for statistic, true in zip(noted, targets, strict=True) if statistic]


def _draw(axes: Axes, statistics: list[Noted]) -> None:
    if not statistics:
        axes.text(0.5, 0.5, "no statistic", transform=axes.transAxes, ha="center", va="center", color=SOFT)
        axes.set_axis_off()
        return
    every = [value for statistic, _ in statistics for value in statistic.values]
    up = span(every, gained=SQUEEZED)
    room = (0.2 if any(map(up.beyond, every)) else 0.1) * (up.high - up.low)  # for rings, and the values beyond
    axes.set_ylim(up.low - room, up.high + room)
    shifts = np.linspace(-0.27, 0.27, len(statistics)) if len(statistics) > 1 else [0.0]
    for (statistic, targets), shift in zip(statistics, shifts, strict=True):
        values = np.array(statistic.values, dtype=np.float64)  # NaN is not drawn
        labels, held = np.arange(len(values)), np.clip(values, up.low, up.high)
        target, flagged = (np.isin(labels, list(marked)) for marked in (targets, statistic.flagged))
        axes.plot(labels[~target] + shift, held[~target], ls="", marker="o", ms=3.2, color=PLAIN)
        axes.plot(labels[target] + shift, held[target], ls="", marker="D", ms=3.2, color=TARGET)
        axes.plot(labels[flagged] + shift, held[flagged], ls="", marker="o", ms=6.5, mfc="none", mec="black", mew=0.9)
    _tell(axes, statistics, up)
    count = max(len(statistic.values) for statistic, _ in statistics)
    if count <= _TICKS:
        axes.set_xticks(range(count))
    axes.set_xlim(-0.7, count - 0.3)
    axes.locator_params("y", nbins=5)
    ruled(axes)
    axes.set_ylabel(folded(statistics[0][0].name, _HIGH, SMALL, most=2), fontsize=SMALL)


def _tell(axes: Axes, statistics: list[Noted], up: Span) -> None:
    """An arrow at each class with values beyond the axis, and the farthest of them over the seeds."""
    for side in (-1, 1):
        beyond = dict[int, float]()
        for statistic, _ in statistics:
            for label, value in enumerate(statistic.values):
                if up.beyond(value) == side:
                    beyond[label] = max(beyond.get(label, value), value, key=abs)
        for label, value in beyond.items():
            arrow(axes, (label, up.held(value)), (0, side), "black")
        told = [(label, f"{value:.3g}") for label, value in beyond.items()]
        if len(told) > _TOLD:
            told = [(min(beyond), f"{len(told)} classes, up to {max(beyond.values(), key=abs):.3g}")]
        for label, text in told:
            axes.annotate(
                text, (label, up.held(beyond[label])), (4, 6 * side), textcoords="offset points", fontsize=LEAST,
                va="center", ha="left",
            )  # fmt: skip
