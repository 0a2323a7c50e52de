"""How stable a defense is under its hyper-parameters, from the cells of a sweep that are in the records."""

from itertools import combinations
from math import isnan

import numpy as np

from bench.reports.blocks import Block
from bench.reports.side_table import SideTable
from bench.reports.sweep_values import text
from bench.reports.sweeps import PREFIX, Line, Value, of_defenses

_METRICS = ("acc", "asr", "der")
_NOTE = (
    "In points: the absolute difference of a metric between two values of a parameter, everything else equal, as the "
    "mean over all pairs of values in the records and over victims. SoK: The Last Line of Defense (arXiv 2511.13143) "
    "has a score of this name, with which this one has not been compared."
)


def stability_table(block: Block) -> SideTable:
    """A line for each defense and parameter of it of which there are results for two values or more."""
    heads = ["defense", "parameter", "values", "victims", "ACC", "ASR", "DER"]
    lines = []
    for sweep in of_defenses(block):
        of_label: dict[str, list[Line]] = {}
        for own in sweep.lines.values():
            for line in own:
                of_label.setdefault(line.label, []).append(line)
        for label, own in of_label.items():
            if found := _line(own):
                values = sorted({value for line in own for value in line.rows}, key=sweep.points.index)
                lines.append([label, sweep.name.removeprefix(PREFIX), ", ".join(map(text, values)), *found])
    return SideTable("Stability under hyper-parameters", heads, lines, 3, _NOTE)


def _line(lines: list[Line]) -> list[str]:
    """The number of victims, and each metric's mean absolute difference; nothing where no victim has two values."""
    of_victim: dict[tuple[int, int], dict[Value, dict[str, float]]] = {}
    for place, line in enumerate(lines):
        for value, rows in line.rows.items():
            if rows["attack"][0] == "none" or not rows["valid"].all():
                continue
            for index, seed in enumerate(rows["seed"]):
                figures = {metric: float(rows[metric][index]) for metric in _METRICS}
                of_victim.setdefault((place, int(seed)), {})[value] = figures
    several = [list(own.values()) for own in of_victim.values() if len(own) > 1]
    if not several:
        return []
    texts = [str(len(several))]
    for metric in _METRICS:
        gaps = [np.mean([abs(one[metric] - other[metric]) for one, other in combinations(own, 2)]) for own in several]
        known = [gap for gap in gaps if not isnan(gap)]
        texts.append(f"{100 * float(np.mean(known)):.1f}" if known else "–")
    return texts
