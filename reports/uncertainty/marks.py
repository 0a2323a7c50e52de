"""Which defenses of a row are best, and which second best."""

from dataclasses import dataclass, field
from math import isnan
from typing import TYPE_CHECKING

import numpy as np

from bench.reports.stats import DECIMALS
from bench.reports.uncertainty.tests import adjusted, p_values

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
    differs from it by no more than the decimals show, or by so little that a test cannot tell them apart. The test is
    paired, on the same victims and images, two-sided at 5 %, and Holm's correction is for all pairs of the group, since
    which one is the highest is only known afterwards.
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
            best |= _not_told(block, attack, list(ratings)) & set(helping)
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


def _not_told(block: "Block", attack: str, names: list[str]) -> set[str]:
    """Those of ``names`` whose DER a test cannot tell from the highest."""
    assert block.samples is not None
    found = block.spread(attack, "der")
    columns = [block.samples.columns.index(name) for name in names]
    upper = np.triu_indices(len(names), 1)
    first, second = (np.array(columns)[places] for places in upper)
    p = p_values(found.mean[first] - found.mean[second], found.differences().of((first, second)))
    corrected = np.full((len(names), len(names)), np.nan)
    corrected[upper] = adjusted(p)
    corrected = np.fmax(corrected, corrected.T)
    highest = int(np.argmax(found.mean[columns]))
    return {name for name, value in zip(names, corrected[highest], strict=True) if value > ALPHA}
