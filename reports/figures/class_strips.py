"""The figure of class statistics where there are many: a panel a defense, in which each attack has a line."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.records.note_types import ClassStatistic
from bench.reports.blocks import Block
from bench.reports.figures.letters import folded, width
from bench.reports.figures.marks import Point, arrow, key, lines, marks, ruled
from bench.reports.figures.sheet import sheet
from bench.reports.figures.spans import Span, span
from bench.reports.figures.style import GRID, LEAST, PLAIN, SMALL, TARGET
from bench.reports.names.shortened import figure_names

Noted = tuple[ClassStatistic, set[int]]
"""What one cell noted with one seed, and the true target classes."""

_HIGH, _LABEL = 9.0, 84  # points: of an attack's line, and of its name
SQUEEZED = 6  # a class that stands out is what is to be seen: it is cut off only where nothing else can be
_ROOM = 0.16  # of the axis: for the numbers of values beyond it


@dataclass(frozen=True)
class _Strip:
    """One attack against one defense, over the seeds.

    others: minimum, quartiles and maximum over the classes that are no target, NaN without any. target: the median of
    the targets, NaN without one; ``flagged`` with at least half of the seeds. wrong: the flagged classes that are none.
    """

    others: tuple[float, float, float, float]
    target: float
    flagged: bool
    wrong: list[float]


def class_strips(
    block: Block, noted: dict[tuple[str, str], list[Noted]], attacks: list[str], defenses: list[str]
) -> Figure:
    """The statistics of all cells. A value far from all others stands at the end of the axis, with its number."""
    strips = {cell: _strip(own) for cell, own in noted.items()}
    shown = figure_names(block)
    names = [folded(shown.attack(block.marked(attack)), _LABEL, SMALL, most=1) for attack in attacks]
    left = max(width(name, SMALL) for name in names) + 8
    keys = [
        key("classes that are no target: range and quartiles", PLAIN, line="-"),
        key("true target (median), flagged with half of the seeds or more", TARGET, "D"),
        key("true target (median), flagged less often", TARGET, "D", hollow=True),
        key("another class that was flagged", "black", "X"),
    ]
    across = {1: 1, 2: 2}.get(len(defenses), 3 if len(defenses) <= 9 else 4 if len(defenses) <= 12 else 5)
    high = _HIGH * len(attacks) + 4
    made = sheet(
        shown.heading,
        [*map(shown.defense, defenses)],
        across,
        high,
        keys=keys,
        left=left,
        right=6,
        apart=9,
        under=28,
        below=34,
    )
    for place, (axes, defense) in enumerate(zip(made.panels, defenses, strict=True)):
        own = {row: strips[attack, defense] for row, attack in enumerate(attacks) if (attack, defense) in strips}
        axes.set(ylim=(len(attacks) - 0.4, -0.6), yticks=[])
        _draw(axes, own)
        ruled(axes)
        lines(axes, [[(end, row) for end in axes.get_xlim()] for row in range(len(attacks))], GRID, thick=0.5, z=0.5)
        if made.first(place):
            axes.set_yticks(range(len(attacks)), names)
            axes.tick_params("y", length=0)
        told = next(noted[attack, defense][0][0].name for attack in attacks if (attack, defense) in noted)
        made.under(place, folded(told, made.size[0], LEAST, most=2), size=LEAST)
    return made.figure


def _strip(noted: list[Noted]) -> _Strip:
    others, target, wrong, found = list[float](), list[float](), list[float](), list[bool]()
    for statistic, true in noted:
        present = {label: value for label, value in enumerate(statistic.values) if value == value}
        others += [value for label, value in present.items() if label not in true]
        target += [value for label, value in present.items() if label in true]
        wrong += [present[label] for label in statistic.flagged if label in present and label not in true]
        found.append(bool(true) and true <= set(statistic.flagged))
    ends = np.quantile(others, [0, 0.25, 0.75, 1]) if others else np.full(4, np.nan)
    middle = float(np.median(target)) if target else np.nan
    return _Strip((ends[0], ends[1], ends[2], ends[3]), middle, 2 * sum(found) >= len(found), sorted(set(wrong)))


def _draw(axes: Axes, strips: dict[int, _Strip]) -> None:
    values = [value for strip in strips.values() for value in (*strip.others, strip.target, *strip.wrong)]
    along = span(values, gained=SQUEEZED)
    sides = {along.beyond(value) for value in values}
    room = _ROOM * (along.high - along.low)
    axes.set_xlim(along.low - room * (-1 in sides), along.high + room * (1 in sides))
    axes.locator_params("x", nbins=4)
    lines(axes, _ranges(strips, along, 0, 3), PLAIN, thick=0.7)
    lines(axes, _ranges(strips, along, 1, 2), PLAIN, thick=2.6)
    for hollow in (True, False):
        at = [(along.held(s.target), row) for row, s in strips.items() if s.target == s.target and s.flagged != hollow]
        marks(axes, at, [(TARGET, "D")] * len(at), hollow=hollow, size=3.6, z=4)
    wrong = [(along.held(value), row) for row, strip in strips.items() for value in strip.wrong]
    marks(axes, wrong, [("black", "X")] * len(wrong), size=3.6, z=3.5)
    for row, strip in strips.items():
        _tell(axes, row, (*strip.others, strip.target, *strip.wrong), along)


def _ranges(strips: dict[int, _Strip], along: Span, first: int, last: int) -> Iterator[list[Point]]:
    for row, strip in strips.items():
        if strip.others[0] == strip.others[0]:
            yield [(along.held(strip.others[first]), row), (along.held(strip.others[last]), row)]


def _tell(axes: Axes, row: int, values: tuple[float, ...], along: Span) -> None:
    """What of an attack lies beyond the axis: an arrow, and the farthest value."""
    for side in (-1, 1):
        beyond = [value for value in values if along.beyond(value) == side]
        if beyond:
            end = along.held(beyond[0])
            arrow(axes, (end, row), (side, 0), "black")
            axes.annotate(
                f"{max(beyond, key=abs):.3g}", (end, row), (8 * side, 0), textcoords="offset points", fontsize=LEAST,
                va="center", ha="left" if side > 0 else "right",
            )  # fmt: skip
