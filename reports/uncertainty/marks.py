"""Which defenses of a row are best, and which second best."""

from dataclasses import dataclass, field
from math import isnan
from typing import TYPE_CHECKING

import numpy as np

from bench.reports.knowledge import Group
from bench.reports.stats import DECIMALS
from bench.reports.uncertainty.pairs import pairs_of

if TYPE_CHECKING:
    from bench.reports.blocks import Block

HELPS = 50.5  # DER in per cent that a defense must pass to be marked: 50 is that of one that changes nothing
ALPHA = 0.05


@dataclass
class Marks:
    """Of one row of a table: the ``best`` defenses of each group and the ``second`` best of the others.

    told: whether those that cannot be told from the best are among these. It takes what became of every test image.
    """

    best: set[str] = field(default_factory=set)
    second: set[str] = field(default_factory=set)
    told: bool = False


def marks(block: "Block", attack: str) -> Marks:
    """The marks of the row of an attack, or of the average.

    In each group of defenses that were given the same: best are the one with the highest DER and those whose DER
    differs from it by no more than the decimals show, or by so little that a test cannot tell them apart: two-sided at
    5 %, by the p values that the table of differences shows (``bench.reports.uncertainty.pairs``). A defense that lacks
    a victim of the row is not among them.
    """
    found = Marks()
    if attack in block.invalid_attacks and not block.with_invalid:
        return found
    for group in block.groups:
        ratings = {name: rating for name in group.defenses if not isnan(rating := _rating(block, attack, name))}
        helping = {name: rating for name, rating in ratings.items() if rating > HELPS}
        if not group.ranked or len(ratings) < 2 or not helping:
            continue
        highest = max(helping.values())
        best = {name for name, rating in helping.items() if rating == highest}
        if block.samples and block.samples.victims:
            best |= _not_told(block, attack, group, list(ratings)) & set(helping)
            found.told = True
        rest = {name: rating for name, rating in helping.items() if name not in best}
        found.best |= best
        found.second |= {name for name, rating in rest.items() if rating == max(rest.values())}
    return found


def _rating(block: "Block", attack: str, defense: str) -> float:
    """DER in per cent, as a table shows it; NaN for a defense with cells that are not done."""
    cell = block.cells[attack, defense]
    complete = cell.status == "done" and cell.done == cell.total
    return round(100 * cell.stat("der").mean, DECIMALS) if complete else np.nan


def _not_told(block: "Block", attack: str, group: Group, names: list[str]) -> set[str]:
    """Those of ``names`` whose DER a test cannot tell from the highest of them."""
    found = pairs_of(block, attack, group)
    if found is None:
        return set()
    mean = {name: block.cells[attack, name].stat("der").mean for name in names}
    highest = max(names, key=lambda name: mean[name])
    return {name for name in names if found.of(name, highest) > ALPHA}
