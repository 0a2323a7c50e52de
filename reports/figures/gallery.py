"""The figure of triggers: a card for each attack, with a few images, clean, triggered, and what was added."""

from collections.abc import Mapping
from math import ceil
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from numpy.typing import NDArray

from bench.reports.figures.style import GRID, title_letters, wrapped
from bench.reports.records import natural

Array = NDArray[Any]
_SAMPLES = 2
_CARD = (3.3, 2.75)  # inches
_HEAD, _LINE = 0.45, 0.22  # inches, of a title of one line and of each further one
_FACTORS = (0.5, 1, 2, 5, 10, 20, 50)
_TITLE = "Triggers; the difference is drawn around mid-grey"
_HEADS = ("clean", "triggered", "difference")


def gallery(pictures: Mapping[str, tuple[Array, Array]], title: str = "") -> Figure | None:
    """A card for each attack: up to two images, each clean, triggered, and their signed difference around mid-grey.

    ``pictures`` maps an attack to clean and triggered images, both (N, H, W, C) or (N, H, W) in [0, 1].
    ``title`` stands above the cards. None where no attack has an image.
    """
    shown = {attack: pictures[attack] for attack in sorted(pictures, key=natural) if len(pictures[attack][0])}
    if not shown:
        return None
    across = min(len(shown), 4 if len(shown) > 6 else 3)
    down = ceil(len(shown) / across)
    above = f"{wrapped(title, title_letters(_CARD[0] * across))}\n{_TITLE}" if title else _TITLE
    high = _HEAD + _LINE * above.count("\n")
    figure = Figure(figsize=(_CARD[0] * across, _CARD[1] * down + high))
    head, sheet = figure.subfigures(2, 1, height_ratios=[high, _CARD[1] * down], squeeze=False)[:, 0]
    cards = sheet.subfigures(down, across, squeeze=False)
    for card, (attack, (clean, triggered)) in zip(cards.flat, shown.items(), strict=False):
        _draw(card, attack, clean, triggered)
    head.text(0.5, 0.5, above, ha="center", va="center", fontsize=12)
    return figure


def _draw(card: SubFigure, attack: str, clean: Array, triggered: Array) -> None:
    by = factor(clean, triggered)
    note = f"difference × {by:g}" if np.any(clean != triggered) else "no difference"
    name = wrapped(attack, 34)
    card.text(0.04, 0.97, name, ha="left", va="top", fontweight="bold", fontsize=10 if "\n" not in name else 8)
    panels = card.subplots(
        _SAMPLES, 3, squeeze=False,
        gridspec_kw={"left": 0.04, "right": 0.96, "top": 0.8, "bottom": 0.02, "wspace": 0.05, "hspace": 0.06},
    )  # fmt: skip
    for sample, row in enumerate(panels):
        images = _three(clean[sample], triggered[sample], by) if sample < len(clean) else ()
        for axes in row:
            axes.set_axis_off()
        for axes, image in zip(row, images, strict=False):
            _show(axes, image)
    for axes, head in zip(panels[0], (*_HEADS[:2], note), strict=True):
        axes.set_title(head, fontsize=8.5, pad=3)


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
    axes.imshow(np.clip(grey, 0, 1), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    axes.set_axis_on()
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set(visible=True, color=GRID, linewidth=0.8)  # shows where a white image ends
