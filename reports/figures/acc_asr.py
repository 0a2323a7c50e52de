"""The figure of accuracy against attack success."""

from itertools import cycle
from math import ceil, isnan

from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import FancyArrowPatch

from bench.reports.blocks import Block, Cell
from bench.reports.figures.style import COLOURS, MARKERS, fitting, headed, wrapped

_INVISIBLE = 1e-3  # percentage points; a smaller spread is not drawn


def acc_asr(block: Block) -> Figure | None:
    """ACC against ASR in per cent, a panel for each defense: hollow before it, filled after it.

    None where no attack and defense have both values. Defenses that only flag change neither and have no panel.
    """
    changing = [name for name in block.defenses if name not in block.detectors]
    drawn = [name for name in changing if any(_point(block.cells[attack, name]) for attack in block.attacks)]
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
    for index, axes in enumerate(panels.flat[: len(drawn)]):
        if index + width >= len(drawn):  # the lowest of its column
            axes.set_xlabel("ASR (%), lower is better")
            axes.tick_params(labelbottom=True)
    for axes in panels[:, 0]:
        axes.set_ylabel("ACC (%)")
    panels[0, 0].autoscale_view()
    panels[0, 0].set_xlim(-4, 104)
    low, high = panels[0, 0].get_ylim()
    panels[0, 0].set_ylim(min(low, high - 2), high)  # a difference of a tenth of a point must not look like a collapse
    handles = [Line2D([], [], color=c, marker=m, ls="", label=block.marked(attack)) for attack, (c, m) in looks.items()]
    handles.append(Line2D([], [], color="#555555", marker="o", mfc="white", ls="", label="before (hollow)"))
    handles.append(Line2D([], [], color="#555555", marker="o", ls="", label="after (filled)"))
    figure.legend(
        handles=handles,
        loc="outside lower center",
        ncols=fitting([*map(block.marked, attacks), "before (hollow)"], figure),
    )
    headed(figure, block.title)
    return figure


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
    arrow.set_in_layout(False)  # the layout needs no space for it: it lies between two marks
    axes.add_artist(arrow)
    axes.add_line(Line2D([start[0]], [start[1]], marker=marker, mfc="white", mec=colour, mew=1.4, ms=7, ls=""))
    axes.add_line(Line2D([end[0]], [end[1]], color=colour, marker=marker, mec="white", ms=8, ls="", zorder=2.1))
    wide, high = (0 if isnan(std) else 100 * std for std in (after.stat("asr").std, after.stat("acc").std))
    if max(wide, high) > _INVISIBLE:
        bars = [[(end[0] - wide, end[1]), (end[0] + wide, end[1])], [(end[0], end[1] - high), (end[0], end[1] + high)]]
        axes.add_collection(LineCollection(bars, colors=colour, linewidths=0.8, zorder=2), autolim=False)
        axes.update_datalim([corner for bar in bars for corner in bar])
