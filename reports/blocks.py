"""A frame of records as blocks: attacks against defenses, with means over seeds and over attacks."""

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from bench.records.outcomes import OutcomesOf
from bench.reports.cells import Cell as Cell
from bench.reports.cells import average, cells_of, whole
from bench.reports.knowledge import Group, groups
from bench.reports.records import AVERAGE as AVERAGE
from bench.reports.records import BEFORE, BLOCK, DAGGER, HEADS, METRICS, compared, ordered
from bench.reports.stats import DECIMALS as DECIMALS
from bench.reports.stats import RowSet, Stat
from bench.reports.uncertainty.intervals import Limits, bounded, limits_of_attack, limits_of_average
from bench.reports.uncertainty.marks import Marks, marks
from bench.reports.uncertainty.samples import Samples
from bench.reports.uncertainty.spread import Spread, spread

if TYPE_CHECKING:
    from bench.reports.chosen import Shown


@dataclass(frozen=True)
class Block:
    """What may be compared: one data set, model, profile and recipe, with its completed ``records``.

    attacks and defenses are headings, the control first. The defenses stand in ``groups``, by what they were given.
    The defense "none" has no column: ``before`` holds the undefended network. ``invalid_attacks`` gives for each attack
    that did not work the reasons by seed. Such an attack is left out of the average unless ``with_invalid``, and no
    defense is best against it. ``left_out`` are the records that are in none of the cells, for they are of something
    else than the newest (``bench.reports.identity``). ``metrics`` are the columns of its main table, in their order,
    some of ``METRICS``. ``defenses_as_rows``: the main table has defenses as rows and attacks side by side, in formats
    that know both. ``samples`` are the figures by attack, column and seed, ``averaged`` the victims that the average is
    over, by their places in them. ``compare_with``: the heading of a defense that all others are compared with, or "".
    """

    title: str
    records: pd.DataFrame
    attacks: list[str]
    groups: list[Group]
    before: dict[str, Cell]
    cells: dict[tuple[str, str], Cell]
    invalid_attacks: dict[str, dict[int, str]] = field(default_factory=dict)
    with_invalid: bool = False
    left_out: pd.DataFrame = field(default_factory=pd.DataFrame)
    metrics: tuple[str, ...] = tuple(METRICS)
    defenses_as_rows: bool = False
    samples: Samples | None = field(default=None, repr=False, compare=False)
    averaged: list[tuple[int, list[int]]] = field(default_factory=list)
    compare_with: str = ""
    _marks: dict[str, Marks] = field(default_factory=dict, init=False, repr=False, compare=False)

    @cached_property
    def defenses(self) -> list[str]:
        """The headings of the defenses' columns, group by group."""
        return [name for group in self.groups for name in group.defenses]

    @property
    def metrics_before(self) -> tuple[str, ...]:
        """Those of ``metrics`` that the undefended network has."""
        return tuple(metric for metric in self.metrics if metric in BEFORE)

    @property
    def heads(self) -> list[str]:
        """The headings of ``metrics``."""
        return [HEADS[metric] for metric in self.metrics]

    @property
    def heads_before(self) -> list[str]:
        """The headings of ``metrics_before``."""
        return [HEADS[metric] for metric in self.metrics_before]

    @cached_property
    def rivals(self) -> list[str]:
        """The defenses but for the oracles, which know what no defender knows."""
        return [name for group in self.groups if not group.oracles for name in group.defenses]

    @cached_property
    def detectors(self) -> list[str]:
        """The defenses that flag inputs and change no prediction: they have no DER."""
        flagging = set(self.records.loc[self.records["detects_only"], "column"])
        return [name for name in self.defenses if name in flagging]

    @property
    def seeds(self) -> list[int]:
        return sorted(int(seed) for seed in self.records["seed"].unique())

    @property
    def known_of_fewer(self) -> list[str]:
        """Of each metric that no defense has for some of the victims of the averages, of how many it is known."""
        assert self.samples is not None
        present = {name: np.asarray((~np.isnan(own[:, 1:])).any(axis=1)) for name, own in self.samples.figures.items()}
        victims = [(at, seed) for at, seeds in self.averaged for seed in seeds if present["acc"][at, seed]]
        known = {name: sum(bool(present[name][victim]) for victim in victims) for name in self.metrics}
        fewer = {name: count for name, count in known.items() if 0 < count < len(victims)}
        return [f"{HEADS[name]} is known of {count} of {len(victims)} victims" for name, count in fewer.items()]

    @property
    def row_names(self) -> list[str]:
        """The attacks, and the average where it is over more than one of them."""
        return [*self.attacks, AVERAGE] if AVERAGE in self.before else self.attacks

    @cached_property
    def by_cell(self) -> dict[tuple[str, ...], RowSet]:
        """The records by attack and defense, which is "none" for the control."""
        return RowSet.whole(self.records).split("attack_label", "column")

    def done_records(self, attack: str, defense: str) -> RowSet | None:
        """The done records of an attack against a defense, one a seed; None where there is none."""
        records = self.by_cell.get((attack, defense))
        return records.done if records and len(records.done) else None

    def cell(self, attack: str, defense: str | None) -> Cell:
        """The cell of an attack or the average; ``defense`` None is the undefended network."""
        return self.before[attack] if defense is None else self.cells[attack, defense]

    def marked(self, attack: str) -> str:
        """The heading of an attack's row, with a dagger if the attack did not work with one of the seeds."""
        return f"{attack} {DAGGER}" if attack in self.invalid_attacks else attack

    def best(self, attack: str) -> set[str]:
        """In each group of equal knowledge, the defenses with the highest DER of a row, and those that cannot be told
        from them (``bench.reports.uncertainty.marks``).

        One that lacks results that others have cannot win, nor one that gains nothing. None is best against an attack
        that did not work, nor where fewer than two of a group can be compared.
        """
        return self.marks(attack).best

    def spread(self, attack: str, metric: str) -> Spread:
        """The means of a row in each of the columns of ``samples``, and how far off they may be."""
        assert self.samples is not None
        return spread(self.samples, metric, self.victims_of(attack))

    def victims_of(self, attack: str) -> list[tuple[int, list[int]]]:
        """The victims that a row is of, by their places in ``samples``: an attack with its seeds, or ``averaged``."""
        assert self.samples is not None
        if attack == AVERAGE:
            return self.averaged
        return [(self.samples.attacks.index(attack), list(range(len(self.samples.seeds))))]

    def undefended(self, attack: str, defense: str, metric: str) -> float:
        """A metric of the undefended network, in [0, 1], as a mean over the seeds that a defense has; NaN if none."""
        assert self.samples is not None
        own = self.samples.figures[metric][self.samples.attacks.index(attack)]
        has = ~np.isnan(own[self.samples.columns.index(defense)])
        return Stat.of(own[0, has]).mean

    def fall_of_acc(self, attack: str, defense: str) -> float:
        """By how much a defense lowers ACC, in [-1, 1], as a mean over the seeds that it has; NaN without any."""
        assert self.samples is not None
        acc = self.samples.figures["acc"][self.samples.attacks.index(attack)]
        return Stat.of(acc[0] - acc[self.samples.columns.index(defense)]).mean

    def marks(self, attack: str) -> Marks:
        """The best and the second best defenses of a row."""
        if attack not in self._marks:
            self._marks[attack] = marks(self, attack)
        return self._marks[attack]


def blocks(
    frame: pd.DataFrame,
    *,
    with_invalid: bool = False,
    outcomes: OutcomesOf | None = None,
    compare_with: str = "",
    shown: "Shown | None" = None,
) -> list[Block]:
    """The blocks of a frame of records, ordered by their titles; ``with_invalid``: average over all attacks.

    ``outcomes`` gives what became of every test image, from which intervals and tests are made where seeds do not
    suffice. ``compare_with``: a defense that all others are compared with, by its heading or its plugin's name.
    ``shown``: order, display names, metrics and rows; it raises WrongChoice for names that the records do not have.
    """
    chosen, left_out = compared(shown.renamed(frame) if shown else frame)
    groups = [(tuple(map(str, key)), records) for key, records in chosen.groupby(BLOCK, sort=True)]
    short = [" · ".join(filter(None, key[:3])) for key, _ in groups]
    found = [
        _block(
            title if short.count(title) == 1 else f"{title} · {key[3]}",
            records,
            with_invalid,
            _of_block(left_out, key),
            outcomes,
            compare_with,
        )
        for title, (key, records) in zip(short, groups, strict=True)
    ]
    return [shown.arranged(block) for block in found] if shown else found


def _of_block(records: pd.DataFrame, key: tuple[str, ...]) -> pd.DataFrame:
    keys = records[BLOCK].itertuples(index=False, name=None)
    return records[np.array([own == key for own in keys], dtype=bool)]


def _block(
    title: str,
    records: pd.DataFrame,
    with_invalid: bool,
    left_out: pd.DataFrame,
    outcomes: OutcomesOf | None,
    compare_with: str,
) -> Block:
    records = records.assign(whole=whole(records))
    attacks = ordered(records, "attack_label", "attack")
    compared_groups = groups(records)
    defenses = [name for group in compared_groups for name in group.defenses]
    samples = Samples.of(records, attacks, defenses, outcomes)
    before, cells = cells_of(records, attacks, defenses)
    for place, attack in enumerate(attacks):
        _bound(before, cells, attack, defenses, limits_of_attack(samples, place))
    counted = records if with_invalid else records[records["valid"]]
    tried = counted.groupby("attack_label")["status"].transform(lambda states: (states != "not-applicable").any())
    averaged = ordered(counted[(counted["attack"] != "none") & tried], "attack_label", "attack")
    victims = samples.places(averaged, with_invalid=with_invalid)
    if len(averaged) > 1:
        own_before, own_cells = cells_of(counted, averaged, defenses)  # of an attack that worked with some seeds, these
        before[AVERAGE] = average([own_before[attack] for attack in averaged])
        cells |= {(AVERAGE, name): average([own_cells[attack, name] for attack in averaged]) for name in defenses}
        _bound(before, cells, AVERAGE, defenses, limits_of_average(samples, victims))
    return Block(
        title,
        records,
        attacks,
        compared_groups,
        before,
        cells,
        _invalid_attacks(records),
        with_invalid,
        left_out,
        samples=samples,
        averaged=victims,
        compare_with=compare_with,
    )


def _bound(
    before: dict[str, Cell], cells: dict[tuple[str, str], Cell], attack: str, defenses: list[str], limits: Limits
) -> None:
    """Put the ends of the intervals into the cells of a row."""
    if before[attack].stats:
        before[attack] = replace(before[attack], stats=bounded(before[attack].stats, limits, 0))
    for column, name in enumerate(defenses, 1):
        if (cell := cells[attack, name]).stats:
            cells[attack, name] = replace(cell, stats=bounded(cell.stats, limits, column))


def _invalid_attacks(records: pd.DataFrame) -> dict[str, dict[int, str]]:
    invalid = records[~records["valid"]].drop_duplicates(["attack_label", "seed"])
    reasons: dict[str, dict[int, str]] = {}
    for attack, seed, doubt in invalid[["attack_label", "seed", "doubt"]].itertuples(index=False):
        reasons.setdefault(str(attack), {})[int(seed)] = str(doubt)
    return reasons
