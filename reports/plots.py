"""The figures of a block: accuracy against attack success, and DER at a glance."""

from itertools import cycle
from math import ceil, isnan

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import FancyArrowPatch

from reports.style import COLOURS, GRID, MARKERS, fitting, wrapped
from reports.summary import Block, Cell
from reports.words import percent, tally, word

_INVISIBLE = 1e-3  # spread, in points of per cent
_NOTHING_GAINED = 50  # DER in per cent of a defense that changes nothing


def acc_asr(block: Block) -> Figure | None:
    """ACC against ASR in per cent, a panel for each defense: hollow before it, filled after it."""
    drawn = [name for name in block.defenses if any(_point(block.cells[attack, name]) for attack in block.attacks)]
    attacks = [attack for attack in block.attacks if _point(block.before[attack])]
    if not drawn or not attacks:
        return None
    width = {1: 1, 2: 2, 4: 2}.get(len(drawn), 3 if len(drawn) < 10 else 5)
    height = ceil(len(drawn) / width)
    figure = Figure(figsize=(3.6 * width + 0.4, 3.2 * height + 0.9), layout="constrained")
    panels = figure.subplots(height, width, sharex=True, sharey=True, squeeze=False)
    looks = dict(zip(attacks, zip(cycle(COLOURS), cycle(MARKERS)), strict=False))
    for axes, defense in zip(panels.flat, drawn, strict=False):
        axes.set_title(wrapped(defense, 34), fontweight="bold")
        for attack in attacks:
            _arrow(axes, block.before[attack], block.cells[attack, defense], *looks[attack])
    for axes in panels.flat[len(drawn) :]:
        axes.set_axis_off()
    for place, axes in enumerate(panels.flat[: len(drawn)]):
        if place + width >= len(drawn):
            axes.set_xlabel("ASR (%), lower is better")
            axes.tick_params(labelbottom=True)
    for axes in panels[:, 0]:
        axes.set_ylabel("ACC (%)")
    panels[0, 0].autoscale_view()
    panels[0, 0].set_xlim(-4, 104)
    low, high = panels[0, 0].get_ylim()
    panels[0, 0].set_ylim(min(low, high - 2), high)  # noise of a tenth must not look like a collapse
    signs = [Line2D([], [], color=c, marker=m, ls="", label=block.marked(attack)) for attack, (c, m) in looks.items()]
    signs.append(Line2D([], [], color="#555555", marker="o", mfc="white", ls="", label="before (hollow)"))
    signs.append(Line2D([], [], color="#555555", marker="o", ls="", label="after (filled)"))
    figure.legend(
        handles=signs,
        loc="outside lower center",
        ncols=fitting([*map(block.marked, attacks), "before (hollow)"], figure),
    )
    figure.suptitle(block.title, fontsize=11)
    return figure


def der_map(block: Block) -> Figure | None:
    """DER in per cent as a map of attacks against defenses; the best of a row is marked with a star."""
    attacks = [attack for attack in block.lines if any(_der(block, attack, name) for name in block.defenses)]
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
        cell = block.cells[attacks[row], block.defenses[column]]
        text = percent(cell.stat("der")) if cell.status == "done" else word(cell)
        text += f" ({tally(cell)})" if cell.status == "done" and tally(cell) else ""
        best = block.defenses[column] in block.best(attacks[row])
        dark = not isnan(value) and value < 75
        weight = "bold" if best else "normal"
        axes.text(
            column, row, text + " ★" * best, ha="center", va="center", color="white" if dark else "black", weight=weight
        )
    axes.set_xticks(range(len(block.defenses)), [wrapped(name, 14) for name in block.defenses])
    axes.set_yticks(range(len(attacks)), [wrapped(block.marked(name), 24) for name in attacks])
    axes.tick_params(length=0)
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    axes.set_facecolor(GRID)
    figure.colorbar(colours, ax=axes, label="DER (%); 50: nothing gained", fraction=0.05, extend="min")
    figure.suptitle(block.title, fontsize=11)
    return figure


def _der(block: Block, attack: str, defense: str) -> bool:
    return not isnan(block.cells[attack, defense].stat("der").mean)


def _point(cell: Cell) -> tuple[float, float] | None:
    """(ASR, ACC) in per cent, or None where one of them is not defined."""
    asr, acc = 100 * cell.stat("asr").mean, 100 * cell.stat("acc").mean
    return None if isnan(asr) or isnan(acc) else (asr, acc)


def _arrow(axes: Axes, before: Cell, after: Cell, colour: str, marker: str) -> None:
    """One attack in one panel. Its artists are made by hand: annotate, plot and errorbar take five times as long."""
    start, end = _point(before), _point(after)
    if not start or not end:
        return
    arrow = FancyArrowPatch(
        start, end, arrowstyle="->", mutation_scale=10, color=colour, alpha=0.55, shrinkA=4, shrinkB=4, zorder=3
    )
    arrow.set_clip_on(False)
    arrow.set_in_layout(False)  # it lies between two marks
    axes.add_artist(arrow)
    axes.add_line(Line2D([start[0]], [start[1]], marker=marker, mfc="white", mec=colour, mew=1.4, ms=7, ls=""))
    axes.add_line(Line2D([end[0]], [end[1]], color=colour, marker=marker, mec="white", ms=8, ls="", zorder=2.1))
    wide, high = (0 if isnan(std) else 100 * std for std in (after.stat("asr").std, after.stat("acc").std))
    if max(wide, high) > _INVISIBLE:
        bars = [[(end[0] - wide, end[1]), (end[0] + wide, end[1])], [(end[0], end[1] - high), (end[0], end[1] + high)]]
        axes.add_collection(LineCollection(bars, colors=colour, linewidths=0.8, zorder=2), autolim=False)
        axes.update_datalim([corner for bar in bars for corner in bar])
