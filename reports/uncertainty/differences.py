"""The table of paired differences: every defense against the best of its group, and against one that was chosen."""

from math import isnan

import numpy as np

from bench.reports.blocks import AVERAGE, Block
from bench.reports.format import UNDEFINED
from bench.reports.side_table import SideTable
from bench.reports.uncertainty.pairs import COMPARED, differing, pairs_of, shared
from bench.reports.uncertainty.pairs import chosen_defense as chosen_defense
from bench.reports.uncertainty.samples import Array
from bench.reports.uncertainty.spread import Rows, spread
from bench.reports.uncertainty.tests import adjusted

_NOTE = (
    "In points, on the same victims and test images: a defense's average less that of the other; in brackets 95 % "
    "intervals; p: of no difference in DER, two-sided, after Holm's correction for all pairs of the group, as the best "
    "is only known afterwards. Victims: attacks times seeds that both have results for."
)
_APART = " Where the two were not given the same: for all such lines."


def differences_table(block: Block) -> SideTable:
    """A line for each defense against the one with the highest average DER of its group (among those with the most
    victims), then against ``block.compare_with``.

    Only victims count that the averages are over. A defense that has no victim in common with the other has no line.
    A pair has one p value, wherever it stands.
    """
    groups = [found for group in block.groups if group.ranked and (found := pairs_of(block, AVERAGE, group))]
    asked = [(name, found.reference) for found in groups for name in found.defenses if name != found.reference]
    chosen = chosen_defense(block)
    asked += [(name, chosen) for name in block.defenses if chosen and name != chosen]
    asked = list(dict.fromkeys(asked))
    rows = {pair: own for pair in asked if (own := _victims(block, *pair))}
    apart = [pair for pair in rows if not any({*pair} <= {*found.defenses} for found in groups)]
    p = dict(zip(apart, _of_apart(block, apart, rows), strict=True))
    p |= {pair: found.of(*pair) for found in groups for pair in rows if {*pair} <= {*found.defenses}}
    texts = _texts(block, rows)
    lines = [[*pair, str(sum(len(seeds) for _, seeds in own)), *texts[pair], _p(p[pair])] for pair, own in rows.items()]
    heads = ["defense", "less", "victims", "ΔACC", "ΔASR", "ΔDER", "p"]
    return SideTable("Differences", heads, lines, 2, _NOTE + _APART * any(not isnan(p[pair]) for pair in apart))


def _victims(block: Block, first: str, second: str) -> Rows:
    """The victims of the averages that two defenses have in common."""
    assert block.samples is not None
    columns = block.samples.columns
    return shared(block.samples, block.averaged, columns.index(first), columns.index(second))


def _of_apart(block: Block, pairs: list[tuple[str, str]], rows: dict[tuple[str, str], Rows]) -> Array:
    """The p values of pairs that are in no group, after Holm's correction for all of these."""
    assert block.samples is not None
    columns = block.samples.columns
    own = [differing(block.samples, rows[pair], np.array([[columns.index(name) for name in pair]])) for pair in pairs]
    return adjusted(np.concatenate([np.empty(0), *own]))


def _texts(block: Block, rows: dict[tuple[str, str], Rows]) -> dict[tuple[str, str], list[str]]:
    """The texts of each pair's differences."""
    assert block.samples is not None
    texts: dict[tuple[str, str], list[str]] = {pair: [] for pair in rows}
    for (first, second), own in rows.items():
        at = block.samples.columns.index(first), block.samples.columns.index(second)
        for metric in COMPARED:
            found = spread(block.samples, metric, own)
            gap, half = found.mean[at[0]] - found.mean[at[1]], found.differences().of(at).half
            texts[first, second].append(_interval(float(gap), float(half)))
    return texts


def _interval(gap: float, half: float) -> str:
    if isnan(gap):
        return UNDEFINED
    text = f"{100 * gap:+.1f}"
    return text if isnan(half) else f"{text} [{100 * (gap - half):+.1f}, {100 * (gap + half):+.1f}]"


def _p(value: float) -> str:
    if isnan(value):
        return UNDEFINED
    return "< 0.001" if value < 0.001 else f"{value:.3f}"
