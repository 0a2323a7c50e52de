"""The figure of activations: how a channel answers images without and with the trigger, before and after the repair."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.records.note_types import ChannelActivations
from bench.reports.blocks import Block
from bench.reports.diagnostics import activations
from bench.reports.figures.letters import folded
from bench.reports.figures.marks import key, ruled
from bench.reports.figures.sheet import sheet
from bench.reports.figures.style import COLOURS, LEAST
from bench.reports.names.shortened import figure_names
from bench.reports.names.titles import DisplayNames

_KINDS = {"clean": COLOURS[0], "triggered": COLOURS[1], "aligned": COLOURS[2]}
_NAMES = ["clean images", "with the estimated trigger", "the same, after the alignment"]
_MOST = 24  # panels: a report is no atlas
_APART = 26  # points between two panels, for the numbers of an axis of its own

Panel = tuple[str, ChannelActivations]
"""A title, and what one channel answered."""


def activation_histograms(block: Block) -> Figure | None:
    """A panel for each noted channel of each cell, of its first seed that noted some: three histograms.

    Of more than 24 channels, the first of some cells, so chosen that each attack and defense comes up as often as any
    other; the title says how many there are. None where no defense noted activations.
    """
    names = figure_names(block)
    cells = {
        (row, column): own
        for row, attack in enumerate(block.attacks)
        for column, name in enumerate(block.defenses)
        if (own := _panels(block, names, attack, name))
    }
    panels, count = _chosen(cells), sum(map(len, cells.values()))
    if not panels:
        return None
    across = 4 if len(panels) > 6 else 3
    title = names.heading + f" · {len(panels)} of {count} channels" * (len(panels) < count)
    keys = [key(name, colour, line="-") for name, colour in zip(_NAMES, _KINDS.values(), strict=True)]
    high = 74 if across == 4 else 96
    made = sheet(
        title, [name for name, _ in panels], across, high, keys=keys, left=26, apart=_APART, under=22, below=28
    )
    for place, (axes, (_, channel)) in enumerate(zip(made.panels, panels, strict=True)):
        _draw(axes, channel)
        told = f"{channel.layer}, channel {channel.channel} (σ)"
        made.under(place, folded(told, made.size[0] + _APART - 8, LEAST, most=1), size=LEAST)
        if made.first(place):
            made.beside(place, "% of activations")
    return made.figure


def _chosen(cells: dict[tuple[int, int], list[Panel]]) -> list[Panel]:
    """All panels, or as many as there is room for, along the diagonals of attacks against defenses."""
    each = [(cell, rank) for cell, own in cells.items() for rank in range(len(own))]
    rows = 1 + max((row for row, _ in cells), default=0)
    diagonal = sorted(each, key=lambda one: (one[1], (one[0][0] - one[0][1]) % rows, one[0][1]))
    return [cells[cell][rank] for cell, rank in sorted(diagonal[:_MOST])]


def _panels(block: Block, names: DisplayNames, attack: str, defense: str) -> list[Panel]:
    """The channels of a cell's first seed that noted some, each under a title, which names one of several seeds."""
    records = block.done_records(attack, defense)
    each = zip(records["seed"], map(activations, records["diagnostics"]), strict=True) if records else ()
    seed, noted = next(((seed, noted) for seed, noted in each if noted), (0, {}))
    last = f" · seed {seed}" if len(block.seeds) > 1 else ""
    return [
        (f"{names.attack(block.marked(attack))} · {names.defense(defense)} · class {target}{last}", channel)
        for target, channels in sorted(noted.items())
        for channel in channels
    ]


def _draw(axes: Axes, channel: ChannelActivations) -> None:
    edges = channel.low + channel.width * np.arange(len(channel.clean) + 1)
    for kind, colour in _KINDS.items():
        shares = 100 * np.array(getattr(channel, kind), dtype=np.float64)
        axes.stairs(shares, edges, fill=True, fc=f"{colour}26", ec=colour, lw=0.8)
    axes.locator_params(nbins=4)
    ruled(axes)
