"""The figure of defenses that learn from their inputs: robust accuracy as the stream passes."""

from itertools import cycle
from math import ceil
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from bench.reports.blocks import Block
from bench.reports.diagnostics import stream_curve
from bench.reports.figures.style import COLOURS, MARKERS, fitting, headed, wrapped


def stream_curves(block: Block) -> Figure | None:
    """RA in per cent over the number of triggered inputs that have passed, a panel an attack, a line a defense.

    None where no defense noted a curve.
    """
    curves = {
        (attack, defense): curve
        for attack in block.attacks
        for defense in block.defenses
        if (curve := _curve(block, attack, defense))
    }
    attacks = [attack for attack in block.attacks if any(key[0] == attack for key in curves)]
    defenses = [name for name in block.defenses if any(key[1] == name for key in curves)]
    if not attacks:
        return None
    width = min(3, len(attacks))
    height = ceil(len(attacks) / width)
    figure = Figure(figsize=(3.4 * width + 0.6, 2.6 * height + 0.9), layout="constrained")
    panels = figure.subplots(height, width, sharey=True, squeeze=False)
    looks = dict(zip(defenses, zip(cycle(COLOURS), cycle(MARKERS)), strict=False))
    for axes, attack in zip(panels.flat, attacks, strict=False):
        for defense, (colour, marker) in looks.items():
            if (attack, defense) in curves:
                axes.plot(*curves[attack, defense], color=colour, marker=marker, ms=4, lw=1.4, label=defense)
        axes.set_title(wrapped(block.marked(attack), 34), loc="left")
        axes.set_xlabel("triggered inputs that have passed")
        axes.set_xlim(0, None)
    for axes in panels.flat[len(attacks) :]:
        axes.set_axis_off()
    for axes in panels[:, 0]:
        axes.set_ylabel("RA (%)")
    handles, labels = max((axes.get_legend_handles_labels() for axes in panels.flat), key=lambda legend: len(legend[1]))
    figure.legend(handles, labels, loc="outside lower center", ncols=fitting(labels, figure))
    headed(figure, block.title)
    return figure


def _curve(block: Block, attack: str, defense: str) -> tuple[Any, Any] | None:
    """Means over seeds: triggered inputs passed and RA in per cent of each part of the stream."""
    records = block.done_records(attack, defense)
    noted = [curve for text in records["diagnostics"] if (curve := stream_curve(text))] if records else []
    seeds = [curve for curve in noted if len(curve.ra) == len(noted[0].ra)]  # others do not have the same parts
    if not seeds:
        return None
    passed = np.mean([curve.triggered for curve in seeds], axis=0)
    means = np.ma.masked_invalid([curve.ra for curve in seeds]).mean(axis=0)
    return passed, 100 * np.ma.filled(means, np.nan)
