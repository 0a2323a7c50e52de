"""Many marks and lines as few artists: one each would take most of a report's time."""

from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.markers import CARETDOWNBASE, CARETLEFTBASE, CARETRIGHTBASE, CARETUPBASE, MarkerStyle
from matplotlib.path import Path
from matplotlib.transforms import IdentityTransform, ScaledTranslation

from bench.reports.figures.style import GRID

Point = tuple[float, float]
Look = tuple[str, str]
"""A colour and a marker."""


def marks(
    axes: Axes, points: Sequence[Point], looks: Sequence[Look], *, hollow: bool = False, size: float = 5, z: float = 3
) -> None:
    """Put a mark of ``size`` points at each of ``points``, each with its own look; hollow ones are white inside."""
    if not points:
        return
    colours = [colour for colour, _ in looks]
    axes.add_collection(
        PathCollection(
            [_path(marker) for _, marker in looks], [size**2], offsets=np.array(points, dtype=float),
            offset_transform=axes.transData, facecolors="white" if hollow else colours,
            edgecolors=colours if hollow else "white", linewidths=0.8 if hollow else 0.4, zorder=z, clip_on=False,
            transform=IdentityTransform(),
        ),
        autolim=False,
    )  # fmt: skip


def lines(axes: Axes, each: Iterable[Sequence[Point]], colour: str, *, thick: float = 0.8, z: float = 2) -> None:
    """Draw lines of one look, each through its points."""
    joined = [point for one in each for point in (*one, (np.nan, np.nan))]
    if joined:
        xs, ys = zip(*joined, strict=True)
        axes.add_line(Line2D(xs, ys, color=colour, lw=thick, zorder=z, solid_capstyle="butt"))


def ruled(axes: Axes, *, x: bool = True, y: bool = True) -> None:
    """A grid at the ticks, which must have been set: one line, for a tick's own takes an artist each."""
    (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
    across = [[(at, low), (at, high)] for at in axes.get_xticks() if x and min(left, right) <= at <= max(left, right)]
    up = [[(left, at), (right, at)] for at in axes.get_yticks() if y and min(low, high) <= at <= max(low, high)]
    lines(axes, across + up, GRID, thick=0.5, z=0.5)


def bare(axes: Axes, *, x: bool, y: bool) -> None:
    """Leave out the ticks and numbers of an axis, which stand at another panel; its grid must have been drawn.

    Ticks that are only hidden take as long as those that are seen.
    """
    if x:
        axes.set_xticks([])
    if y:
        axes.set_yticks([])


def arrow(axes: Axes, point: Point, towards: Point, colour: str) -> None:
    """A small arrow beyond a mark at the end of an axis, ``towards`` what it stands for: (±1 or 0, ±1 or 0)."""
    x, y = towards
    shift = ScaledTranslation(4.5 * x / 72, 4.5 * y / 72, root(axes).dpi_scale_trans)
    marker: Any = (CARETUPBASE if y > 0 else CARETDOWNBASE) if y else (CARETRIGHTBASE if x > 0 else CARETLEFTBASE)
    drawn = Line2D([point[0]], [point[1]], color=colour, marker=marker, ms=4.5, mew=0, ls="", zorder=4, clip_on=False)
    axes.add_line(drawn)
    drawn.set_transform(axes.transData + shift)


def root(axes: Axes) -> Figure:
    """The figure that holds a panel."""
    made = axes.get_figure(root=True)
    assert made is not None  # it is removed from none
    return made


def key(label: str, colour: str, marker: str = "", *, hollow: bool = False, size: float = 5, line: str = "") -> Line2D:
    """A mark or a line of a legend."""
    inside = "white" if hollow else colour
    return Line2D([], [], color=colour, marker=marker, mfc=inside, ms=size, mew=0.8, ls=line, lw=1.2, label=label)


@cache
def _path(marker: str) -> Path:
    style = MarkerStyle(marker)
    return style.get_path().transformed(style.get_transform())
