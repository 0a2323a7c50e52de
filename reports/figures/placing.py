"""Where labels of marks go, so that none lies on another one, on a mark, or over the edge."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from bench.reports.figures.letters import width
from bench.reports.figures.marks import root
from bench.reports.figures.style import LEAST, SOFT

_LINE = 1.25  # of the letters' size
_ANGLES = np.deg2rad([45, 315, 135, 225, 22, 338, 158, 202, 68, 112, 248, 292, 0, 180, 90, 270])
_NEAR = np.array([5.0, 8, 12])  # points between a mark and its label
_FAR = np.array([5.0, 8, 12, 18, 26, 36, 48, 62, 80, 100, 125, 155, 190, 230])
_LED = 9  # points from which on a line leads from the mark to its label
_ROOM = 2.5  # points beside a label


@dataclass(frozen=True)
class Label:
    """A text of some lines beside the mark at ``point``, in the axes' data; ``first``: before all others."""

    point: tuple[float, float]
    text: str
    first: bool = False


def place(
    axes: Axes, labels: Sequence[Label], marks: Sequence[tuple[float, float]], *, size: float = LEAST, far: bool = False
) -> list[Label]:
    """Write those ``labels`` for which there is room, the lone ones first, and return the others.

    ``marks`` are all marks of the panel, in its data, whose limits and place in the figure must have been set. ``far``:
    a label may lie far from its mark, with a line that leads to it.
    """
    if not labels:
        return []
    scale = 72 / root(axes).dpi
    box = np.array(axes.bbox.extents) * scale
    ats = axes.transData.transform([one.point for one in labels]) * scale
    dots = axes.transData.transform(np.array(marks, dtype=float)) * scale
    taken = np.concatenate([dots - 3.5, dots + 3.5], axis=1)
    crowds = np.array([np.sum(np.hypot(*(dots - at).T) < 40) for at in ats])
    left = []
    for index in np.lexsort((crowds, np.array([not one.first for one in labels]))):
        found = _free(ats[index], labels[index].text, size, box, taken, _FAR if far else _NEAR)
        if found is None:
            left.append(labels[index])
            continue
        taken = np.concatenate([taken, [found]])
        _write(axes, labels[index], found, ats[index], size)
    return left


def _free(
    at: NDArray[np.float64], text: str, size: float, box: NDArray[np.float64], taken: NDArray[np.float64],
    distances: NDArray[np.float64],
) -> NDArray[np.float64] | None:  # fmt: skip
    """The nearest free box (x0, y0, x1, y1) in points for a text beside ``at``."""
    wide, high = width(text, size) + 2 * _ROOM, size * _LINE * (text.count("\n") + 1)
    steps = np.stack([np.cos(_ANGLES), np.sin(_ANGLES)], axis=1)
    half = np.array([wide / 2, high / 2])
    middles = at + (distances[:, None, None] * steps + steps * half).reshape(-1, 2)
    boxes = np.concatenate([middles - half, middles + half], axis=1)
    inside = (boxes[:, :2] >= box[:2]).all(axis=1) & (boxes[:, 2:] <= box[2:]).all(axis=1)
    hit = (boxes[:, None, :2] < taken[None, :, 2:]).all(axis=2) & (boxes[:, None, 2:] > taken[None, :, :2]).all(axis=2)
    free = boxes[inside & ~np.any(hit, axis=1)]
    return free[0] if len(free) else None


def _write(axes: Axes, label: Label, box: NDArray[np.float64], at: NDArray[np.float64], size: float) -> None:
    scale = root(axes).dpi / 72
    x, y = axes.transData.inverted().transform([(box[:2] + box[2:]) / 2 * scale])[0]
    axes.text(x, y, label.text, ha="center", va="center", fontsize=size, zorder=5, linespacing=1.1)
    end = np.clip(at, box[:2], box[2:])
    if np.hypot(*(end - at)) > _LED:
        start = axes.transData.inverted().transform([end * scale])[0]
        axes.plot([start[0], label.point[0]], [start[1], label.point[1]], color=SOFT, lw=0.4, zorder=1.5)
