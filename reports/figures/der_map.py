"""The figure of DER at a glance."""

from math import isnan

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from bench.reports.blocks import Block
from bench.reports.figures.style import GRID, headed, wrapped
from bench.reports.rows import cell_text

_NOTHING_GAINED = 50  # DER in per cent of a defense that changes nothing
_TALL = 3  # attacks from which on the label of the colours fits on one line
_BRIGHT = 75  # DER in per cent from which on a field is too bright for white letters


def der_map(block: Block) -> Figure | None:
    """DER in per cent as a map of attacks against defenses; the best of those that were given the same has a star.

    What the defenses were given stands above their columns.
    """
    attacks = [attack for attack in block.row_names if any(_has_der(block, attack, name) for name in block.defenses)]
    if not attacks:
        return None
    values = np.array([[100 * block.cells[a, d].stat("der").mean for d in block.defenses] for a in attacks])
    figure = Figure(figsize=(2.6 + 1.5 * len(block.defenses), 1.4 + 0.5 * len(attacks)), layout="constrained")
    axes = figure.subplots()
    edges = [np.arange(count + 1) - 0.5 for count in (len(block.defenses), len(attacks))]
    colours = ScalarMappable(Normalize(_NOTHING_GAINED, 100), "cividis")
    fields = colours.to_rgba(np.ma.masked_invalid(values), bytes=True) / 255
    axes.pcolormesh(*edges, fields)  # imshow of a large map takes 300 MB
    axes.set(xlim=edges[0][[0, -1]], ylim=edges[1][[-1, 0]])
    for (row, column), value in np.ndenumerate(values):
        cell = cell_text(block, attacks[row], block.defenses[column])
        text = cell.figures[-1] if cell.done else cell.word
        text += f" ({cell.tally})" if cell.tally else ""
        colour = "white" if not isnan(value) and value < _BRIGHT else "black"
        weight = "bold" if cell.best else "normal"
        axes.text(column, row, text + " ★" * cell.best, ha="center", va="center", color=colour, weight=weight)
    axes.set_xticks(range(len(block.defenses)), [wrapped(name, 14) for name in block.defenses])
    axes.set_yticks(range(len(attacks)), [wrapped(block.marked(name), 24) for name in attacks])
    _name_groups(axes, block)
    axes.tick_params(length=0)
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    axes.set_facecolor(GRID)
    label = f"DER (%);{' ' if len(attacks) >= _TALL else chr(10)}{_NOTHING_GAINED}: nothing gained"
    figure.colorbar(colours, ax=axes, label=label, fraction=0.05, extend="min")
    headed(figure, block.title)
    return figure


def _name_groups(axes: Axes, block: Block) -> None:
    """A gap between the groups of equal knowledge, and what they were given above them."""
    ends = np.cumsum([len(group.defenses) for group in block.groups]) - 0.5
    axes.vlines(ends[:-1], *axes.get_ylim(), color="white", lw=5)
    middles = [end - len(group.defenses) / 2 for end, group in zip(ends, block.groups, strict=True)]
    above = axes.secondary_xaxis("top")
    above.set_xticks(middles, [wrapped(group.heading, 18) for group in block.groups])
    above.tick_params(length=0)
    above.spines[:].set_visible(False)


def _has_der(block: Block, attack: str, defense: str) -> bool:
    return not isnan(block.cells[attack, defense].stat("der").mean)
