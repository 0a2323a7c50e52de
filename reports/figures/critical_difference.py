"""The critical-difference diagram: mean ranks on a line, and which of them cannot be told apart."""

from matplotlib.figure import Figure

from bench.reports.blocks import Block
from bench.reports.figures.letters import folded, width
from bench.reports.figures.sheet import sheet
from bench.reports.figures.style import COLOURS, SMALL
from bench.reports.uncertainty.ranks import Ranking, nemenyi, ranking

_LINE = 13  # points from one name to the next
_NAME = 120  # points of a name
_RANK = 34  # points of the mean rank beside it
_TICKS = 14  # points of the numbers above the line


def critical_difference(block: Block) -> Figure | None:
    """A diagram for each group of three defenses or more that have five victims in common; None without any.

    Demšar, JMLR 7 (2006).
    """
    found = [(group.heading, one) for group in block.groups if (one := ranking(block, group)) and one.testable]
    if not found:
        return None
    high = _LINE * (4 + max(len(one.defenses) for _, one in found)) + _TICKS
    names = [f"{heading}, {len(one.ratings)} victims" for heading, one in found]
    room = _RANK + max(width(name, SMALL) for _, one in found for name in _names(one))
    drawn = sheet(block.title, names, 1, high, left=room, right=room, under=6, below=4)
    for axes, (_, one) in zip(drawn.panels, found, strict=True):
        left, low, wide, tall = axes.get_position().bounds
        axes.set_position((left, low, wide, tall * (1 - _TICKS / high)))
        axes.set_title(axes.get_title(loc="left"), loc="left", pad=3 + _TICKS)
        _draw(axes, one)
    return drawn.figure


def _names(one: Ranking) -> list[str]:
    """The defenses' headings, each on one line and no two alike."""
    labels = [folded(name, _NAME, SMALL, most=1) for name in one.defenses]
    return [label if labels.count(label) == 1 else f"{label} ({at})" for at, label in enumerate(labels, 1)]


def _draw(axes, one: Ranking) -> None:  # type: ignore[no-untyped-def]
    from scikit_posthocs import critical_difference_diagram

    labels = _names(one)
    ranks = dict(zip(labels, one.ranks.mean(axis=0).tolist(), strict=True))
    apart = nemenyi(one)
    apart.index = apart.columns = labels
    critical_difference_diagram(
        ranks,
        apart,
        ax=axes,
        color_palette=dict.fromkeys(labels, COLOURS[-1]),
        label_fmt_left="{label} ({rank:.2f})",
        label_fmt_right="({rank:.2f}) {label}",
    )
    axes.grid(visible=False)
