"""The figure of defenses that learn from their inputs: robust accuracy as the stream passes."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from bench.reports.blocks import Block
from bench.reports.diagnostics import stream_curve
from bench.reports.figures.letters import folded
from bench.reports.figures.marks import bare, key, lines, ruled
from bench.reports.figures.sheet import Sheet, sheet
from bench.reports.figures.spans import span
from bench.reports.figures.style import LEAST, TARGET, looks
from bench.reports.names.shortened import figure_names

_MOST = 7  # defenses in one panel; of more, each has its own
_LEAST_RA = 10.0  # per cent that an axis spans
_ALL = "#a6a6a6"

Curve = tuple[Any, Any]
"""Triggered inputs that have passed, and RA in per cent."""


def stream_curves(block: Block) -> Figure | None:
    """RA in per cent over the number of triggered inputs that have passed, a panel an attack, a line a defense.

    Of many defenses each has a panel, with a line an attack, of which the one that ends lowest is named. None where no
    defense noted a curve.
    """
    curves = {
        (attack, defense): curve
        for attack in block.attacks
        for defense in block.defenses
        if (curve := _curve(block, attack, defense))
    }
    if not curves:
        return None
    attacks = [attack for attack in block.attacks if any(cell[0] == attack for cell in curves)]
    defenses = [name for name in block.defenses if any(cell[1] == name for cell in curves)]
    few, shown = len(defenses) <= _MOST, figure_names(block)
    look = looks(defenses)
    if few:
        keys = [
            Line2D([], [], color=c, marker=m, ms=3.5, lw=1.2, label=shown.defense(defense))
            for defense, (c, m) in look.items()
        ]
    else:
        keys = [key("one attack", _ALL, line="-"), key("the attack that ends lowest", TARGET, line="-")]
    names = [shown.attack(block.marked(attack)) for attack in attacks] if few else [*map(shown.defense, defenses)]
    made = _sheet(shown.heading, names, keys)
    for axes, name in zip(made.panels, attacks if few else defenses, strict=True):
        if few:
            own = {defense: curves[name, defense] for defense in defenses if (name, defense) in curves}
            for defense, (passed, robust) in own.items():
                colour, marker = look[defense]
                axes.plot(passed, robust, color=colour, marker=marker, ms=3.5, lw=1.2, mec="white", mew=0.3)
        else:
            _of_defense(axes, {shown.attack(block.marked(a)): curves[a, name] for a in attacks if (a, name) in curves})
    _scales(made, list(curves.values()))
    return made.figure


def _sheet(title: str, names: list[str], keys: list[Line2D]) -> Sheet:
    across = 3 if len(names) <= 9 else 4 if len(names) <= 12 else 5
    high = {1: 170, 2: 140}.get(len(names), 110 if across == 3 else 84)
    return sheet(title, names, across, high, keys=keys, left=28, right=8, under=18, below=28)


def _of_defense(axes: Axes, curves: dict[str, Curve]) -> None:
    """All attacks on a defense, and the name of the one that ends lowest."""
    lines(axes, [list(zip(*curve, strict=True)) for curve in curves.values()], _ALL, thick=0.6)
    ends = {attack: curve[1][~np.isnan(curve[1])][-1] for attack, curve in curves.items()}
    lowest = min(ends, key=lambda attack: ends[attack])
    axes.plot(*curves[lowest], color=TARGET, lw=1.2)
    axes.text(
        0.97, 0.04, folded(lowest, 70, LEAST, most=2), transform=axes.transAxes, ha="right", va="bottom", fontsize=LEAST
    )


def _scales(made: Sheet, curves: list[Curve]) -> None:
    up = span([value for _, robust in curves for value in robust], least=_LEAST_RA, gained=np.inf)
    for place, axes in enumerate(made.panels):
        ends = [np.asarray(line.get_xdata()) for line in axes.lines]
        right = max((float(np.nanmax(x)) for x in ends if len(x)), default=1.0)
        axes.set(xlim=(0, 1.03 * right or 1), ylim=(up.low, up.high))
        axes.locator_params("x", nbins=4)
        axes.locator_params("y", nbins=5)
        ruled(axes)
        bare(axes, x=False, y=not made.first(place))
        if made.below(place):
            made.under(place, "triggered inputs passed", size=LEAST)
        if made.first(place):
            made.beside(place, "RA (%)")


def _curve(block: Block, attack: str, defense: str) -> Curve | None:
    """Means over seeds of each part of the stream."""
    records = block.done_records(attack, defense)
    noted = [curve for text in records["diagnostics"] if (curve := stream_curve(text))] if records else []
    seeds = [curve for curve in noted if len(curve.ra) == len(noted[0].ra)]  # others do not have the same parts
    if not seeds:
        return None
    passed = np.mean([curve.triggered for curve in seeds], axis=0)
    means = np.ma.masked_invalid([curve.ra for curve in seeds]).mean(axis=0)
    return passed, 100 * np.ma.filled(means, np.nan)
