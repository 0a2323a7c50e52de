"""The critical-difference diagram: mean ranks on a line, and which of them cannot be told apart."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.transforms import ScaledTranslation

from bench.reports.blocks import Block
from bench.reports.figures.letters import folded, width
from bench.reports.figures.marks import root
from bench.reports.figures.sheet import sheet
from bench.reports.figures.style import COLOURS, SMALL
from bench.reports.names.shortened import figure_names
from bench.reports.names.titles import DisplayNames
from bench.reports.uncertainty.ranks import Ranking, nemenyi, ranking, tested
from bench.reports.uncertainty.ranks import critical_difference as nemenyi_difference

_LINE = 13  # points from one name to the next
_NAME = 120  # points of a name
_RANK = 34  # points of the mean rank beside it
_TICKS, _BAR = 14, 12  # points of the numbers above the line, and of the bar above these
_TOLD = "critical difference {:.2f}"
_GAP = 4  # points between a line and the name that it leads to


def critical_difference(block: Block) -> Figure | None:
    """A diagram for each group of three defenses or more that have five victims in common; None without any.

    Above each stands what Friedman's test says, and a bar as long as Nemenyi's critical difference. Demšar, JMLR 7
    (2006).
    """
    shown = figure_names(block)
    found = [(group.heading, one) for group in block.groups if (one := ranking(block, group)) and one.testable]
    if not found:
        return None
    high = _LINE * (4 + max(len(one.defenses) for _, one in found)) + _TICKS + _BAR
    heads = [f"{heading}: {tested(one)}" for heading, one in found]
    names = [_names(one, shown) for _, one in found]
    widest = max(width(name, SMALL) for own in names for name in own)
    room = max(_RANK + widest, width(_TOLD.format(10), SMALL) + 2 * _GAP)  # beside a bar that is as long as the line
    drawn = sheet(shown.heading, heads, 1, high, left=room, right=room, under=6, below=4)
    for axes, (_, one), own in zip(drawn.panels, found, names, strict=True):
        left, low, wide, tall = axes.get_position().bounds
        axes.set_position((left, low, wide, tall * (1 - (_TICKS + _BAR) / high)))
        axes.set_title(axes.get_title(loc="left"), loc="left", pad=3 + _TICKS + _BAR)
        _draw(axes, one, own)
    return drawn.figure


def _names(one: Ranking, shown: DisplayNames) -> list[str]:
    """The defenses' names, each on one line and no two alike."""
    labels = [folded(shown.defense(name), _NAME, SMALL, most=1) for name in one.defenses]
    return [label if labels.count(label) == 1 else f"{label} ({at})" for at, label in enumerate(labels, 1)]


def _draw(axes: Axes, one: Ranking, labels: list[str]) -> None:
    from scikit_posthocs import critical_difference_diagram

    ranks = dict(zip(labels, one.ranks.mean(axis=0).tolist(), strict=True))
    apart = nemenyi(one)
    apart.index = apart.columns = labels
    made = critical_difference_diagram(
        ranks,
        apart,
        ax=axes,
        color_palette=dict.fromkeys(labels, COLOURS[-1]),
        label_fmt_left="{label} ({rank:.2f})",
        label_fmt_right="({rank:.2f}) {label}",
        label_props={"fontsize": SMALL},
        elbow_props={"lw": 0.9},
        marker_props={"s": 14},
    )
    for label in made["labels"]:
        by = _GAP if label.get_ha() == "left" else -_GAP
        label.set_transform(label.get_transform() + ScaledTranslation(by / 72, 0, root(axes).dpi_scale_trans))
    axes.grid(visible=False)
    _bar(axes, min(ranks.values()), nemenyi_difference(one))


def _bar(axes: Axes, start: float, length: float) -> None:
    """A bar of the length of the critical difference above the numbers of the line, and what it is."""
    above = axes.get_xaxis_transform() + ScaledTranslation(0, (_TICKS + _BAR / 2) / 72, root(axes).dpi_scale_trans)
    axes.add_line(Line2D([start, start + length], [1, 1], color=COLOURS[-1], lw=2, transform=above, clip_on=False))
    low, high = axes.get_xlim()
    axes.set_xlim(low, max(high, start + length))
    told = _TOLD.format(length)
    at = above + ScaledTranslation(_GAP / 72, 0, root(axes).dpi_scale_trans)
    axes.text(start + length, 1, told, va="center", fontsize=SMALL, transform=at)
