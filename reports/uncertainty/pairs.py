"""The pairs of defenses of a row that are tested for a difference in DER: once, for its marks and for every table."""

from dataclasses import dataclass
from itertools import combinations
from math import isnan
from typing import TYPE_CHECKING

import numpy as np

from bench.reports.knowledge import Group
from bench.reports.uncertainty.samples import Array, Samples
from bench.reports.uncertainty.spread import Rows, spread
from bench.reports.uncertainty.tests import adjusted, p_values

if TYPE_CHECKING:
    from bench.reports.blocks import Block

COMPARED = ("acc", "asr", "der")


@dataclass(frozen=True)
class Pairs:
    """p values (n, n) of no difference in DER between any two of the ``defenses`` of a group, after Holm's correction.

    ``reference`` is the defense with the highest DER of those with the most victims: all others are tested against it
    and against the one that was chosen, and those with the same victims against each other. The correction is for all
    pairs with a victim in common, since which one is the highest is only known afterwards; a pair that is not tested
    counts as one that is alike. NaN where a pair is not tested, or nothing tells how far off its difference is.
    """

    defenses: list[str]
    reference: str
    p: Array

    def of(self, first: str, second: str) -> float:
        """The p value of two of the defenses; NaN also where one is none of them."""
        if first not in self.defenses or second not in self.defenses:
            return float("nan")
        return float(self.p[self.defenses.index(first), self.defenses.index(second)])


def pairs_of(block: "Block", attack: str, group: Group) -> Pairs | None:
    """The pairs of a group in the row of an attack or of the average; None with fewer than two that have a DER."""
    samples = block.samples
    rows = block.victims_of(attack) if samples else []
    if samples is None or not rows:
        return None
    mean = spread(samples, "der", rows).mean
    at = {name: samples.columns.index(name) for name in group.defenses}
    names = [name for name in group.defenses if not isnan(mean[at[name]])]
    if len(names) < 2:
        return None
    own = {name: shared(samples, rows, at[name], at[name]) for name in names}
    victims = {name: sum(len(seeds) for _, seeds in own[name]) for name in names}
    reference = max(names, key=lambda name: (victims[name], mean[at[name]]))
    chosen = chosen_defense(block)
    p = np.full((len(names), len(names)), np.nan)
    alike = [name for name in names if own[name] == own[reference]]
    tested: dict[str, tuple[Rows, list[tuple[int, int]]]] = {}
    for first, second in combinations(range(len(names)), 2):
        both = names[first], names[second]
        if not (reference in both or chosen in both or {*both} <= {*alike}):
            continue
        found = own[reference] if {*both} <= {*alike} else shared(samples, rows, at[both[0]], at[both[1]])
        if found:
            tested.setdefault(repr(found), (found, []))[1].append((first, second))
    columns = np.array([at[name] for name in names])
    for found, places in tested.values():
        p[tuple(np.array(places).T)] = differing(samples, found, columns[np.array(places)])
    return Pairs(names, reference, _corrected(p, _comparable(samples, rows, columns)))


def differing(samples: Samples, rows: Rows, columns: Array) -> Array:
    """The p values, not corrected, of pairs of ``columns`` (K, 2) over the victims in ``rows``."""
    found = spread(samples, "der", rows)
    first, second = columns.T
    return p_values(found.mean[first] - found.mean[second], found.differences().of((first, second)))


def shared(samples: Samples, rows: Rows, first: int, second: int) -> Rows:
    """The victims among ``rows`` for which both columns have each of ``COMPARED`` that both have at all."""
    there = [~np.isnan(samples.figures[metric][:, [first, second]]) for metric in COMPARED]
    present = [own.all(axis=1) for own in there if own.any(axis=(0, 2)).all()]
    if not present:
        return []
    both = np.logical_and.reduce(present)
    found = [(attack, [seed for seed in seeds if both[attack, seed]]) for attack, seeds in rows]
    return [(attack, seeds) for attack, seeds in found if seeds]


def chosen_defense(block: "Block") -> str:
    """The heading of the defense that ``compare_with`` names by heading, label or plugin; "" where there is none."""
    asked = block.compare_with
    if not asked or asked in block.defenses:
        return asked
    own = block.records[block.records["column"].isin(block.defenses)]
    for name in ("defense_label", "defense"):
        if len(found := own.loc[own[name] == asked, "column"]):
            return str(found.iloc[0])
    return ""


def _comparable(samples: Samples, rows: Rows, columns: Array) -> int:
    """How many pairs of ``columns`` have a victim in common."""
    der = samples.figures["der"][:, columns]
    present = np.array([~np.isnan(der[attack, :, seed]) for attack, seeds in rows for seed in seeds], dtype=int)
    return int(np.count_nonzero(np.triu(present.T @ present, 1)))


def _corrected(p: Array, comparable: int) -> Array:
    """p (n, n) above its diagonal after Holm's correction for as many pairs as are ``comparable``, on both sides."""
    upper = np.triu_indices(len(p), 1)
    own = p[upper]
    tested = own.size - int(np.count_nonzero(np.isnan(own)))
    padded = np.concatenate([own, np.ones(max(comparable - tested, 0) if tested else 0)])
    out = np.full(p.shape, np.nan)
    out[upper] = adjusted(padded)[: own.size]
    return np.asarray(np.fmax(out, out.T))
