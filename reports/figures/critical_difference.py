"""The critical-difference diagram: mean ranks on a line, and which of them cannot be told apart."""

from matplotlib.figure import Figure

from bench.reports.blocks import Block
from bench.reports.figures.style import COLOURS, headed, wrapped
from bench.reports.uncertainty.ranks import Ranking, nemenyi, ranking


def critical_difference(block: Block) -> Figure | None:
    """A diagram for each group of three defenses or more that have five victims in common; None without any.

    Demšar, JMLR 7 (2006).
    """
    found = [(group.heading, one) for group in block.groups if (one := ranking(block, group)) and one.testable]
    if not found:
        return None
    heights = [1.2 + 0.22 * len(one.defenses) for _, one in found]
    figure = Figure(figsize=(8, 0.5 + sum(heights)), layout="constrained")
    axes = figure.subplots(len(found), squeeze=False, height_ratios=heights)[:, 0]
    for own, (heading, one) in zip(axes, found, strict=True):
        _draw(own, one)
        own.set_title(f"{heading}, {len(one.ratings)} victims", loc="left")
    headed(figure, block.title)
    return figure


def _draw(axes, one: Ranking) -> None:  # type: ignore[no-untyped-def]
    from scikit_posthocs import critical_difference_diagram

    labels = [wrapped(name, 30).replace("\n", " ") for name in one.defenses]
    labels = [label if labels.count(label) == 1 else f"{label} ({at})" for at, label in enumerate(labels, 1)]
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
