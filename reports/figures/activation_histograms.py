"""The figure of activations: how a channel answers images without and with the trigger, before and after the repair."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.records.note_types import ChannelActivations
from bench.reports.blocks import Block
from bench.reports.diagnostics import activations
from bench.reports.figures.style import COLOURS, fitting, headed, wrapped

_KINDS = {"clean": COLOURS[0], "triggered": COLOURS[1], "aligned": COLOURS[2]}
_NAMES = ["clean images", "with the estimated trigger", "the same, after the alignment"]
_ACROSS = 4
_MOST = 24  # panels: a report is no atlas


def activation_histograms(block: Block) -> Figure | None:
    """A panel for each noted channel of each cell, of its first seed that noted some: three histograms.

    None where no defense noted activations.
    """
    panels = [panel for attack in block.attacks for name in block.defenses for panel in _panels(block, attack, name)]
    panels = panels[:_MOST]
    if not panels:
        return None
    width = min(_ACROSS, max(2, len(panels)))
    height = -(-len(panels) // width)
    figure = Figure(figsize=(3.4 * width + 0.4, 2.5 * height + 1.0), layout="constrained")
    axes = figure.subplots(height, width, squeeze=False)
    for one, (title, channel) in zip(axes.flat, panels, strict=False):
        _draw(one, channel)
        one.set_title(wrapped(title, 36), loc="left")
    for one in axes.flat[len(panels) :]:
        one.set_axis_off()
    for one in axes[:, 0]:
        one.set_ylabel("% of activations")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=fitting(labels, figure))
    headed(figure, block.title)
    return figure


def _panels(block: Block, attack: str, defense: str) -> list[tuple[str, ChannelActivations]]:
    """The channels of a cell's first seed that noted some, each under a title."""
    records = block.done_records(attack, defense)
    noted = next(filter(None, map(activations, records["diagnostics"])), {}) if records else {}
    return [
        (f"{block.marked(attack)} · {defense} · class {target}", channel)
        for target, channels in sorted(noted.items())
        for channel in channels
    ]


def _draw(axes: Axes, channel: ChannelActivations) -> None:
    edges = channel.low + channel.width * np.arange(len(channel.clean) + 1)
    for (kind, colour), name in zip(_KINDS.items(), _NAMES, strict=True):
        shares = 100 * np.array(getattr(channel, kind), dtype=np.float64)
        axes.stairs(shares, edges, color=colour, fill=True, alpha=0.15)
        axes.stairs(shares, edges, color=colour, lw=1.4, label=name)
    axes.set_xlabel(wrapped(f"{channel.layer}, channel {channel.channel} (σ)", 40))
