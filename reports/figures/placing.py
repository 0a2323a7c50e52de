"""Where labels of marks go, so that none lies on another one, on a mark, or over the edge, nor on a line if it can."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from bench.reports.figures.letters import width
from bench.reports.figures.marks import Point, root
from bench.reports.figures.style import LEAST, SOFT

_LINE = 1.25  # of the letters' size
_ANGLES = np.deg2rad([45, 315, 135, 225, 22, 338, 158, 202, 68, 112, 248, 292, 0, 180, 90, 270])
_NEAR = np.array([5.0, 8, 12])  # points between a mark and its label
_FAR = np.array([5.0, 8, 12, 18, 26, 36, 48, 62, 80, 100, 125, 155, 190, 230])
_LED = 9  # points from which on a line leads from the mark to its label
_ROOM = 2.5  # points beside a label
_DETOUR = 30  # points that a label goes farther from its mark rather than lie on a line


@dataclass(frozen=True)
class Label:
    """A text of some lines beside the mark at ``point``, in the axes' data; ``first``: before all others."""

    point: Point
    text: str
    first: bool = False


def place(
    axes: Axes,
    labels: Sequence[Label],
    marks: Sequence[Point],
    *,
    lines: Sequence[Sequence[Point]] = (),
    size: float = LEAST,
    far: bool = False,
) -> list[Label]:
    """Write those ``labels`` for which there is room, the lone ones first, and return the others.

    ``marks`` are all marks of the panel, in its data, whose limits and place in the figure must have been set.
    ``lines``: through whose points, by steps along the axes, runs what labels had better not lie on. ``far``: a label
    may lie far from its mark, with a line that leads to it.
    """
    if not labels:
        return []
    scale = 72 / root(axes).dpi
    box = np.array(axes.bbox.extents) * scale
    ats = axes.transData.transform([one.point for one in labels]) * scale
    dots = axes.transData.transform(np.array(marks, dtype=float)) * scale
    taken = np.concatenate([dots - 3.5, dots + 3.5], axis=1)
    ruled = _strips([axes.transData.transform(line) * scale for line in lines])
    crowds = np.array([np.sum(np.hypot(*(dots - at).T) < 40) for at in ats])
    left = []
    for index in np.lexsort((crowds, np.array([not one.first for one in labels]))):
        found = _free(ats[index], labels[index].text, size, box, taken, ruled, _FAR if far else _NEAR)
        if found is None:
            left.append(labels[index])
            continue
        taken = np.concatenate([taken, [found]])
        _write(axes, labels[index], found, ats[index], size)
    return left


def _strips(lines: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """The boxes (N, 4) that the steps of lines take."""
    steps = [np.concatenate([np.minimum(one[:-1], one[1:]), np.maximum(one[:-1], one[1:])], axis=1) for one in lines]
    return np.concatenate([np.empty((0, 4)), *steps])


def _free(
    at: NDArray[np.float64], text: str, size: float, box: NDArray[np.float64], taken: NDArray[np.float64],
    ruled: NDArray[np.float64], distances: NDArray[np.float64],
) -> NDArray[np.float64] | None:  # fmt: skip
    """The nearest free box (x0, y0, x1, y1) in points for a text beside ``at``, as far as may be on none ``ruled``."""
    wide, high = width(text, size) + 2 * _ROOM, size * _LINE * (text.count("\n") + 1)
    steps = np.stack([np.cos(_ANGLES), np.sin(_ANGLES)], axis=1)
    half = np.array([wide / 2, high / 2])
    middles = at + (distances[:, None, None] * steps + steps * half).reshape(-1, 2)
    boxes = np.concatenate([middles - half, middles + half], axis=1)
    inside = (boxes[:, :2] >= box[:2]).all(axis=1) & (boxes[:, 2:] <= box[2:]).all(axis=1)
    free = inside & ~_meet(boxes, taken)
    away = np.repeat(distances, len(_ANGLES)) + _DETOUR * _meet(boxes, ruled)
    return boxes[np.where(free, away, np.inf).argmin()] if free.any() else None


def _meet(boxes: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether each of ``boxes`` lies on one of the ``others``."""
    below = (boxes[:, None, :2] < others[None, :, 2:]).all(axis=2)
    return np.asarray(np.any(below & (boxes[:, None, 2:] > others[None, :, :2]).all(axis=2), axis=1), dtype=np.bool_)


def _write(axes: Axes, label: Label, box: NDArray[np.float64], at: NDArray[np.float64], size: float) -> None:
    scale = root(axes).dpi / 72
    x, y = axes.transData.inverted().transform([(box[:2] + box[2:]) / 2 * scale])[0]
    axes.text(x, y, label.text, ha="center", va="center", fontsize=size, zorder=5, linespacing=1.1)
    end = np.clip(at, box[:2], box[2:])
    if np.hypot(*(end - at)) > _LED:
        start = axes.transData.inverted().transform([end * scale])[0]
        axes.plot([start[0], label.point[0]], [start[1], label.point[1]], color=SOFT, lw=0.4, zorder=1.5)
