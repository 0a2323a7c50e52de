"""The figure of class statistics: what a defense computed for every class, and which classes it flagged as targets."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from bench.reports.blocks import Block
from bench.reports.figures.style import PLAIN, TARGET, fitting, wrapped
from bench.reports.records import parsed


@dataclass(frozen=True)
class _Statistic:
    """One cell's statistic: its name, a value a class (NaN for none), the flagged classes, the true target classes."""

    name: str
    values: list[float]
    flagged: set[int]
    targets: set[int]


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
            axes.set_title(wrapped(f"{attack} · {defense}", 48), loc="left")
            if row == len(attacks) - 1:
                axes.set_xlabel("class")
    handles = [
        Line2D([], [], color=PLAIN, marker="o", ls="", label="class"),
        Line2D([], [], color=TARGET, marker="D", ls="", label="true target class"),
        Line2D([], [], color="black", marker="o", mfc="none", ms=11, ls="", label="flagged by the defense"),
    ]
    labels = [str(handle.get_label()) for handle in handles]
    figure.legend(handles=handles, loc="outside lower center", ncols=fitting(labels, figure))
    figure.suptitle(block.title, fontsize=11)
    return figure


def _statistics(block: Block, attack: str, defense: str) -> list[_Statistic]:
    """The well-formed statistics that the done cells noted, one a seed."""
    records = block.done_records(attack, defense)
    if not records:
        return []
    statistics = []
    for text, targets in zip(records["diagnostics"], records["targets"], strict=True):
        noted: Any = parsed(text, {}).get("class_statistic")
        if not isinstance(noted, dict) or not isinstance(noted.get("values"), list):
            continue
        values = [float(v) if isinstance(v, int | float) else np.nan for v in noted["values"]]
        flagged = noted.get("flagged")
        name = str(noted.get("name", "statistic"))
        statistics.append(_Statistic(name, values, _classes(flagged), _classes(parsed(targets, []))))
    return statistics


def _classes(noted: Any) -> set[int]:
    return {int(label) for label in noted if isinstance(label, int | float)} if isinstance(noted, list) else set()


def _draw(axes: Axes, statistics: list[_Statistic]) -> None:
    if not statistics:
        axes.text(0.5, 0.5, "no statistic", transform=axes.transAxes, ha="center", va="center", color="#555555")
        axes.set_axis_off()
        return
    shifts = np.linspace(-0.27, 0.27, len(statistics)) if len(statistics) > 1 else [0.0]
    for statistic, shift in zip(statistics, shifts, strict=True):
        values = np.array(statistic.values, dtype=np.float64)  # NaN is not drawn
        labels = np.arange(len(values))
        target, flagged = (np.isin(labels, list(marked)) for marked in (statistic.targets, statistic.flagged))
        axes.plot(labels[~target] + shift, values[~target], ls="", marker="o", ms=5.5, color=PLAIN)
        axes.plot(labels[target] + shift, values[target], ls="", marker="D", ms=5.5, color=TARGET)
        axes.plot(labels[flagged] + shift, values[flagged], ls="", marker="o", ms=11, mfc="none", mec="black", mew=1.3)
    classes = max(len(statistic.values) for statistic in statistics)
    if classes <= 20:
        axes.set_xticks(range(classes))
    axes.set_xlim(-0.7, classes - 0.3)
    axes.margins(y=0.22)  # room for the rings
    name = statistics[0].name
    axes.set_ylabel(name if len(name) <= 22 else _folded(name))


def _folded(name: str) -> str:
    """A name on two lines, broken at the space nearest its middle."""
    spaces = [index for index, letter in enumerate(name) if letter == " "]
    if not spaces:
        return name
    middle = min(spaces, key=lambda index: abs(index - len(name) / 2))
    return f"{name[:middle]}\n{name[middle + 1 :]}"
