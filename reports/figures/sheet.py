"""A figure as a sheet of equal panels at the width of print, laid out by its texts' own sizes before it is drawn."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.reports.figures.letters import folded, width
from bench.reports.figures.style import HEAD, SMALL, TEXT, WIDTH

_INCH = 72
_LINE = 1.25  # of the letters' size
_EDGE = 4  # points around the figure
_MARK = 20  # points of a legend's mark and the gap after it
_NUMBERS = 12  # points from an axis to what it is, past its ticks and their numbers
_BETWEEN = 12  # points between the columns of a legend
_LINES = 6  # of a panel's name at most


@dataclass(frozen=True)
class Sheet:
    """A figure, its ``panels`` row by row, the size of one and the room at the left of a row, in points."""

    figure: Figure
    panels: list[Axes]
    size: tuple[float, float]
    across: int
    left: float

    def under(self, place: int, text: str, *, size: float = TEXT, lines: int = 1) -> None:
        """What the x axis of a panel is, below numbers of so many ``lines``, which are not measured."""
        axes = self.panels[place]
        axes.set_xlabel(text, fontsize=size, linespacing=1.0)
        axes.xaxis.set_label_coords(0.5, -(_NUMBERS + SMALL * _LINE * (lines - 1)) / self.size[1])

    def beside(self, place: int, text: str, room: float | None = None) -> None:
        """What the y axis of a panel is, at the left end of the ``room`` beside it, that of its row unless told."""
        axes = self.panels[place]
        axes.set_ylabel(text)
        axes.yaxis.set_label_coords(-((room or self.left) - TEXT + 1) / self.size[0], 0.5)

    def below(self, place: int) -> bool:
        """Whether no other panel stands under this one."""
        return place + self.across >= len(self.panels)

    def first(self, place: int) -> bool:
        """Whether this panel begins its row."""
        return place % self.across == 0


def sheet(
    title: str,
    names: Sequence[str],
    across: int,
    high: float,
    *,
    keys: Sequence[Artist] = (),
    left: float = 30,
    right: float = 4,
    apart: float = 8,
    under: float = 12,
    below: float = 24,
    wide: float = WIDTH * _INCH,
) -> Sheet:
    """A panel for each of ``names``, which stand above them, ``across`` in a row and ``high``; all sizes in points.

    keys: the handles of the legend at the foot, each with its label. left: for the labels beside the first panel of a
    row; right: beside the last. apart: between two panels of a row. under: below a row, for the labels of its axes;
    below: the same, of the lowest row of a column.
    """
    across = max(1, min(across, len(names)))
    down = ceil(len(names) / across)
    own = (wide - left - right - 2 * _EDGE - apart * (across - 1)) / across
    heads = [folded(name, own, TEXT, most=_LINES) for name in names]
    above = [
        max(TEXT * _LINE * (name.count("\n") + 1) + 4 if name else 4 for name in heads[row * across :][:across])
        for row in range(down)
    ]
    title = folded(title, wide - 2 * _EDGE, HEAD)
    head = HEAD * _LINE * (title.count("\n") + 1) + 6 if title else 0.0
    columns, foot, texts = _foot(keys, wide - 2 * _EDGE)
    tall = head + sum(above) + down * high + (down - 1) * under + below + foot + 2 * _EDGE
    figure = Figure(figsize=(wide / _INCH, tall / _INCH))
    panels, top = [], tall - _EDGE - head
    for place, name in enumerate(heads):
        row, column = divmod(place, across)
        top -= 0 if column else above[row]
        at = (left + _EDGE + column * (own + apart)) / wide, (top - high) / tall
        panels.append(figure.add_axes((*at, own / wide, high / tall)))
        panels[-1].set_title(name, loc="left")
        top -= high + under if column == across - 1 else 0
    if title:
        figure.text(0.5, 1 - _EDGE / tall, title, ha="center", va="top", fontsize=HEAD)
    if keys:
        _legend(figure, keys, texts, columns)
    return Sheet(figure, panels, (own, high), across, left)


def _legend(figure: Figure, keys: Sequence[Artist], texts: list[str], columns: int) -> None:
    """The legend at the foot, of the size that ``_foot`` says."""
    figure.legend(
        keys, texts, loc="lower center", bbox_to_anchor=(0.5, _EDGE / 2 / _INCH / figure.get_figheight()),
        ncols=columns, borderpad=0, borderaxespad=0, handlelength=1.8, handletextpad=0.6,
        columnspacing=_BETWEEN / SMALL, labelspacing=0.35,
    )  # fmt: skip


def _foot(keys: Sequence[Artist], wide: float) -> tuple[int, float, list[str]]:
    """How many columns a legend has, how high it is in points, and its texts."""
    if not keys:
        return 1, 0.0, []
    texts = [folded(str(key.get_label()), wide - _MARK, SMALL, most=2) for key in keys]
    widths = [width(text, SMALL) + _MARK + _BETWEEN for text in texts]
    columns = next(n for n in range(len(texts), 0, -1) if n == 1 or _across(widths, n) <= wide)
    rows = ceil(len(texts) / columns)
    lines = max(text.count("\n") + 1 for text in texts)
    return columns, rows * SMALL * (_LINE * lines + 0.35) + 6, texts


def _across(widths: list[float], columns: int) -> float:
    """How wide a legend of so many columns is, which matplotlib fills as array_split does."""
    return sum(float(own.max()) for own in np.array_split(np.array(widths), columns))
