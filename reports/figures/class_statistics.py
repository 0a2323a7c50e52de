"""The figure of class statistics: what a defense computed for every class, and which classes it flagged as targets."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from bench.records.note_types import ClassStatistic
from bench.reports.blocks import Block
from bench.reports.diagnostics import class_statistic, classes, parsed
from bench.reports.figures.style import PLAIN, TARGET, fitting, headed, wrapped

Noted = tuple[ClassStatistic, set[int]]
"""What one cell noted, and the true target classes."""


def class_statistics(block: Block) -> Figure | None:
    """Attacks as rows, defenses as columns; a dot a class and seed, the targets and the flagged classes marked.

    None where no defense noted a statistic.
    """
    statistics = {
        (attack, defense): _statistics(block, attack, defense) for attack in block.attacks for defense in block.defenses
    }
    attacks = [attack for attack in block.attacks if any(statistics[attack, name] for name in block.defenses)]
    defenses = [name for name in block.defenses if any(statistics[attack, name] for attack in attacks)]
    if not attacks:
        return None
    figure = Figure(figsize=(4.2 * len(defenses) + 0.8, 2.1 * len(attacks) + 0.9), layout="constrained")
    panels = figure.subplots(len(attacks), len(defenses), squeeze=False)
    for row, attack in enumerate(attacks):
        for column, defense in enumerate(defenses):
            axes = panels[row, column]
            _draw(axes, statistics[attack, defense])
            axes.set_title(wrapped(f"{block.marked(attack)} · {defense}", 48), loc="left")
            if row == len(attacks) - 1:
                axes.set_xlabel("class")
    handles = [
        Line2D([], [], color=PLAIN, marker="o", ls="", label="class"),
        Line2D([], [], color=TARGET, marker="D", ls="", label="true target class"),
        Line2D([], [], color="black", marker="o", mfc="none", ms=11, ls="", label="flagged by the defense"),
    ]
    labels = [str(handle.get_label()) for handle in handles]
    figure.legend(handles=handles, loc="outside lower center", ncols=fitting(labels, figure))
    headed(figure, block.title)
    return figure


def _statistics(block: Block, attack: str, defense: str) -> list[Noted]:
    """The well-formed statistics that the done cells noted, one a seed."""
    records = block.done_records(attack, defense)
    if not records:
        return []
    noted = [class_statistic(text) for text in records["diagnostics"]]
    targets = [classes(parsed(text, [])) for text in records["targets"]]
    return [(statistic, true) for statistic, true in zip(noted, targets, strict=True) if statistic]


def _draw(axes: Axes, statistics: list[Noted]) -> None:
    if not statistics:
        axes.text(0.5, 0.5, "no statistic", transform=axes.transAxes, ha="center", va="center", color="#555555")
        axes.set_axis_off()
        return
    shifts = np.linspace(-0.27, 0.27, len(statistics)) if len(statistics) > 1 else [0.0]
    for (statistic, targets), shift in zip(statistics, shifts, strict=True):
        values = np.array(statistic.values, dtype=np.float64)  # NaN is not drawn
        labels = np.arange(len(values))
        target, flagged = (np.isin(labels, list(marked)) for marked in (targets, statistic.flagged))
        axes.plot(labels[~target] + shift, values[~target], ls="", marker="o", ms=5.5, color=PLAIN)
        axes.plot(labels[target] + shift, values[target], ls="", marker="D", ms=5.5, color=TARGET)
        axes.plot(labels[flagged] + shift, values[flagged], ls="", marker="o", ms=11, mfc="none", mec="black", mew=1.3)
    classes = max(len(statistic.values) for statistic, _ in statistics)
    if classes <= 20:
        axes.set_xticks(range(classes))
    axes.set_xlim(-0.7, classes - 0.3)
    axes.margins(y=0.22)  # room for the rings
    name = statistics[0][0].name
    axes.set_ylabel(name if len(name) <= 22 else _folded(name))


def _folded(name: str) -> str:
    """A name on two lines, broken at the space nearest its middle."""
    spaces = [index for index, letter in enumerate(name) if letter == " "]
    if not spaces:
        return name
    middle = min(spaces, key=lambda index: abs(index - len(name) / 2))
    return f"{name[:middle]}\n{name[middle + 1 :]}"
