"""The figure of triggers: a card for each attack, with a few images, clean, triggered, and what was added."""

from collections.abc import Mapping
from math import ceil
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from bench.reports.figures.letters import folded
from bench.reports.figures.style import GRID, HEAD, LEAST, TEXT, WIDTH
from bench.reports.records import natural

Array = NDArray[Any]
_SAMPLES, _MANY = 2, 12  # images of an attack; one of each where there are more attacks than this
_FACTORS = (0.5, 1, 2, 5, 10, 20, 50)
_TITLE = "Triggers; the difference is drawn around mid-grey"
_WIDE = WIDTH * 72  # points, as all lengths here
_EDGE, _APART, _LINE = 4, 10, 1.25  # around a card; between cards; of the letters' size


def gallery(pictures: Mapping[str, tuple[Array, Array]], title: str = "") -> Figure | None:
    """A card for each attack: up to two images, each clean, triggered, and their signed difference around mid-grey.

    Of many attacks one image each. ``pictures`` maps an attack to clean and triggered images, both (N, H, W, C) or
    (N, H, W) in [0, 1]. ``title`` stands above the cards. None where no attack has an image.
    """
    shown = {attack: pictures[attack] for attack in sorted(pictures, key=natural) if len(pictures[attack][0])}
    if not shown:
        return None
    across = min(max(len(shown), 2), 4 if len(shown) > 6 else 3)
    samples = _SAMPLES if len(shown) <= _MANY else 1
    wide = (_WIDE - 2 * _EDGE - _APART * (across - 1)) / across
    image = (wide - 4) / 3
    names = {attack: folded(attack, wide, TEXT) for attack in shown}
    lines = max(name.count("\n") + 1 for name in names.values())
    name_high, head_high = TEXT * _LINE * lines + 2, LEAST * _LINE + 2
    high = name_high + head_high + samples * (image + 2) + 8
    above = folded(f"{title} · {_TITLE}" if title else _TITLE, _WIDE - 2 * _EDGE, HEAD)
    top = HEAD * _LINE * (above.count("\n") + 1) + 6 + _EDGE
    tall = top + ceil(len(shown) / across) * high + _EDGE
    figure = Figure(figsize=(WIDTH, tall / 72))
    figure.text(0.5, 1 - _EDGE / tall, above, ha="center", va="top", fontsize=HEAD)
    for place, (attack, (clean, triggered)) in enumerate(shown.items()):
        left, upper = _EDGE + place % across * (wide + _APART), top + place // across * high
        at = left / _WIDE, 1 - (upper + name_high) / tall
        figure.text(*at, names[attack], va="bottom", fontsize=TEXT, linespacing=1.1)
        by = factor(clean, triggered)
        note = f"diff. × {by:g}" if np.any(clean != triggered) else "no diff."
        upper += name_high + head_high
        for column, head in enumerate(("clean", "triggered", note)):
            x = left + column * (image + 2)
            figure.text((x + image / 2) / _WIDE, 1 - (upper - 2) / tall, head, ha="center", va="bottom", fontsize=LEAST)
            for sample in range(min(samples, len(clean))):
                y = upper + (sample + 1) * (image + 2) - 2
                axes = figure.add_axes((x / _WIDE, 1 - y / tall, image / _WIDE, image / tall))
                _show(axes, _three(clean[sample], triggered[sample], by)[column])
    return figure


def factor(clean: Array, triggered: Array) -> float:
    """By how much the difference of images in [0, 1] is multiplied: as far as it stays within the range of grey.

    One of a list of factors; the smallest where even that is too much.
    """
    largest = float(np.abs(triggered.astype(np.float64) - clean).max())
    return max((by for by in _FACTORS if by * largest <= 0.5 + 1e-9), default=_FACTORS[0])


def _three(clean: Array, triggered: Array, by: float) -> tuple[Array, Array, Array]:
    return clean, triggered, np.clip(0.5 + by * (triggered.astype(np.float64) - clean), 0, 1)


def _show(axes: Axes, image: Array) -> None:
    grey = image[..., 0] if image.ndim == 3 and image.shape[-1] == 1 else image
    axes.imshow(np.clip(grey, 0, 1), cmap="gray", vmin=0, vmax=1, interpolation="none")
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set(visible=True, color=GRID, linewidth=0.8)  # shows where a white image ends
