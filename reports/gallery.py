"""The figure of triggers: for each attack a few images, clean, triggered, and what was added."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from reports.style import GRID, wrapped

Array = NDArray[Any]
_SAMPLES = 3
_FACTORS = (0.5, 1, 2, 5, 10, 20, 50)
_HEADS = ("clean", "triggered", "difference")


def gallery(pictures: Mapping[str, tuple[Array, Array]]) -> Figure | None:
    """A row for each attack: up to three images, each clean, triggered, and the signed difference around grey.

    ``pictures`` maps an attack to clean and triggered images, both (N, H, W, C) or (N, H, W) in [0, 1].
    """
    shown = {attack: pair for attack, pair in pictures.items() if len(pair[0])}
    if not shown:
        return None
    samples = min(_SAMPLES, max(len(clean) for clean, _ in shown.values()))
    figure = Figure(figsize=(2.0 + 3.4 * samples, 0.7 + 1.2 * len(shown)))
    left, right = 2.0 / (2.0 + 3.4 * samples), 0.995
    top, bottom = 1 - 0.55 / (0.7 + 1.2 * len(shown)), 0.01
    outer = figure.add_gridspec(
        len(shown), samples, left=left, right=right, top=top, bottom=bottom, wspace=0.08, hspace=0.1
    )
    for row, (attack, (clean, triggered)) in enumerate(shown.items()):
        by = factor(clean, triggered)
        for sample in range(samples):
            panels = outer[row, sample].subgridspec(1, 3, wspace=0.05).subplots(squeeze=False)[0]
            images = _three(clean[sample], triggered[sample], by) if sample < len(clean) else ()
            for axes in panels:
                axes.set_axis_off()
            for axes, image in zip(panels, images, strict=False):
                _show(axes, image)
            if row == 0:
                for axes, head in zip(panels, _HEADS, strict=True):
                    axes.set_title(head, fontsize=9)
            if sample == 0:
                _name(panels[0], attack, f"difference × {by:g}" if np.any(clean != triggered) else "no difference")
    figure.suptitle("Triggers; the difference is drawn around mid-grey", fontsize=11, y=0.995, va="top")
    return figure


def _name(axes: Axes, attack: str, note: str) -> None:
    """The attack's name left of its row, the note below it."""
    name = wrapped(attack, 18)
    below = 0.5 - 0.08 * (name.count("\n") + 1)
    axes.text(-0.12, 0.5, f"{name}\n", transform=axes.transAxes, ha="right", va="center", fontweight="bold")
    axes.text(-0.12, below, note, transform=axes.transAxes, ha="right", va="top", fontsize=9)


def factor(clean: Array, triggered: Array) -> float:
    """The greatest factor of the list by which no difference leaves the range of grey."""
    largest = float(np.abs(triggered.astype(np.float64) - clean).max())
    return max((by for by in _FACTORS if by * largest <= 0.5 + 1e-9), default=_FACTORS[0])


def _three(clean: Array, triggered: Array, by: float) -> tuple[Array, Array, Array]:
    return clean, triggered, np.clip(0.5 + by * (triggered.astype(np.float64) - clean), 0, 1)


def _show(axes: Axes, image: Array) -> None:
    grey = image[..., 0] if image.ndim == 3 and image.shape[-1] == 1 else image
    axes.imshow(np.clip(grey, 0, 1), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    axes.set_axis_on()
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set(visible=True, color=GRID, linewidth=0.8)  # where a white picture ends
