"""The table of paired differences: every defense against the best of its group, and against one that was chosen."""

from itertools import groupby
from math import isnan

import numpy as np

from bench.reports.blocks import Block
from bench.reports.format import UNDEFINED
from bench.reports.side_table import SideTable
from bench.reports.uncertainty.spread import Rows, spread
from bench.reports.uncertainty.tests import adjusted, p_values

_METRICS = ("acc", "asr", "der")
_NOTE = (
    "In points, on the same victims and test images: a defense's average less that of the other; in brackets 95 % "
    "intervals; p: of no difference in DER, two-sided, after Holm's correction{}. Victims: attacks times seeds that "
    "both have results for."
)
_ALL = " for all pairs of the group, as the best is only known afterwards"


def differences_table(block: Block) -> SideTable:
    """A line for each defense against the one with the highest average DER of its group (among those with the most
    victims), then against ``block.compare_with``.

    Only victims count that the averages are over. A defense that has no victim in common with the other has no line.
    """
    lines: list[list[str]] = []
    for group in block.groups:
        if group.ranked and (best := _highest(block, group.defenses)):
            lines += _lines(block, best, [name for name in group.defenses if name != best], all_pairs=True)
    chosen = chosen_defense(block)
    if chosen:
        lines += _lines(block, chosen, [name for name in block.defenses if name != chosen], all_pairs=False)
    heads = ["defense", "less", "victims", "ΔACC", "ΔASR", "ΔDER", "p"]
    return SideTable("Differences", heads, lines, 2, _NOTE.format(_ALL))


def chosen_defense(block: Block) -> str:
    """The heading of the defense that ``compare_with`` names by heading, label or plugin; "" where there is none."""
    asked = block.compare_with
    if not asked or asked in block.defenses:
        return asked
    own = block.records[block.records["column"].isin(block.defenses)]
    for name in ("defense_label", "defense"):
        if len(found := own.loc[own[name] == asked, "column"]):
            return str(found.iloc[0])
    return ""


def _highest(block: Block, defenses: list[str]) -> str:
    """Of those with results for the most victims, the one with the highest average DER; "" with fewer than two."""
    if block.samples is None or not block.averaged:
        return ""
    mean = spread(block.samples, "der", block.averaged).mean
    at = {name: block.samples.columns.index(name) for name in defenses}
    rated = {name: float(mean[place]) for name, place in at.items() if not isnan(mean[place])}
    victims = {name: sum(len(seeds) for _, seeds in _common(block, at[name], at[name])) for name in rated}
    return max(rated, key=lambda name: (victims[name], rated[name])) if len(rated) > 1 else ""


def _lines(block: Block, other: str, names: list[str], *, all_pairs: bool) -> list[list[str]]:
    """``all_pairs``: whether Holm's correction is for all pairs of these defenses."""
    assert block.samples is not None
    place = block.samples.columns.index(other)
    at = {name: block.samples.columns.index(name) for name in names}
    victims = {name: _common(block, place, at[name]) for name in names}
    found: dict[str, tuple[list[str], float]] = {}
    key = {name: repr(rows) for name, rows in victims.items()}
    for _, alike in groupby(sorted(names, key=lambda name: key[name]), key=lambda name: key[name]):
        same = list(alike)
        if rows := victims[same[0]]:
            found |= dict(zip(same, _of_victims(block, rows, place, [at[name] for name in same]), strict=True))
    p = np.array([found[name][1] for name in names if name in found])
    pairs = len(p) * (len(p) + 1) // 2
    extra = np.ones(pairs - len(p)) if all_pairs else np.empty(0)  # the pairs that are not shown
    corrected = iter(adjusted(np.concatenate([p, extra]))[: len(p)])
    return [[name, other, str(sum(len(seeds) for _, seeds in victims[name])), *found[name][0], _p(next(corrected))]
            for name in names if name in found]  # fmt: skip


def _common(block: Block, first: int, second: int) -> Rows:
    """The victims among those of the averages for which both columns have a DER or, without any, an ACC."""
    assert block.samples is not None
    metric = "der" if not np.isnan(block.samples.figures["der"][:, [first, second]]).all() else "acc"
    present = ~np.isnan(block.samples.figures[metric])
    rows = [
        (attack, [seed for seed in seeds if present[attack, first, seed] and present[attack, second, seed]])
        for attack, seeds in block.averaged
    ]
    return [(attack, seeds) for attack, seeds in rows if seeds]


def _of_victims(block: Block, rows: Rows, other: int, columns: list[int]) -> list[tuple[list[str], float]]:
    """The texts of each column's differences from another, and the p value of that in DER."""
    assert block.samples is not None
    texts, p = [], np.full(len(columns), np.nan)
    for metric in _METRICS:
        found = spread(block.samples, metric, rows)
        errors = found.differences()
        gaps = found.mean[columns] - found.mean[other]
        own = errors.of((columns, other))
        texts.append([_interval(gap, width) for gap, width in zip(gaps, own.half, strict=True)])
        p = p_values(gaps, own)
    return list(zip(map(list, zip(*texts, strict=True)), p.tolist(), strict=True))


def _interval(gap: float, half: float) -> str:
    if isnan(gap):
        return UNDEFINED
    text = f"{100 * gap:+.1f}"
    return text if isnan(half) else f"{text} [{100 * (gap - half):+.1f}, {100 * (gap + half):+.1f}]"


def _p(value: float) -> str:
    if isnan(value):
        return UNDEFINED
    return "< 0.001" if value < 0.001 else f"{value:.3f}"
