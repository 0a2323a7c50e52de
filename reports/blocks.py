"""A frame of records as blocks of cells, and as one long numeric table."""

from dataclasses import dataclass, field
from functools import cached_property
from math import isnan, nan
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from bench.reports.records import BLOCK, METRICS, NUMBERS, complete, ordered

if TYPE_CHECKING:
    from bench.reports.side_tables import Extra
from bench.reports.stats import Part, Stat

AVERAGE = "Average"
DAGGER = "†"
DECIMALS = 1  # of a percentage; also what makes two DERs equal


@dataclass(frozen=True)
class Cell:
    """One attack against one defense. ``done`` of ``total`` seeds (in the average row: of attacks) have values.

    status is "done" as soon as one seed is; else what the records say, "missing" where there is none, or
    "undefined" for an average of nothing.
    """

    status: str = "missing"
    stats: dict[str, Stat] = field(default_factory=dict)
    done: int = 0
    total: int = 0

    def stat(self, metric: str) -> Stat:
        return self.stats.get(metric, Stat())


@dataclass(frozen=True)
class Block:
    """What may be compared: one data set, model, profile and recipe. ``rows`` are its completed records.

    attacks and defenses are headings, the controls first; the defense "none" is ``before``, not a column.
    ``doubts`` says of attacks that had not worked why, by seed; they are left out of the average unless
    ``with_invalid``, and no defense is best against them.
    """

    title: str
    rows: pd.DataFrame
    attacks: list[str]
    defenses: list[str]
    before: dict[str, Cell]
    cells: dict[tuple[str, str], Cell]
    doubts: dict[str, dict[int, str]] = field(default_factory=dict)
    with_invalid: bool = False
    _winners: dict[str, set[str]] = field(default_factory=dict, init=False, repr=False, compare=False)

    @cached_property
    def rivals(self) -> list[str]:
        """The defenses that compete: all but the oracles, which know what no defender knows."""
        oracles = set(self.rows.loc[self.rows["oracle"], "column"])
        return [name for name in self.defenses if name not in oracles]

    @property
    def seeds(self) -> list[int]:
        return sorted(int(seed) for seed in self.rows["seed"].unique())

    @property
    def lines(self) -> list[str]:
        """The attacks, and the average where there is more than one of them."""
        return [*self.attacks, AVERAGE] if AVERAGE in self.before else self.attacks

    @cached_property
    def extras(self) -> "list[Extra]":
        """The tables beside the results, made once for all formats."""
        from bench.reports.side_tables import extras

        return extras(self)

    @cached_property
    def parts(self) -> dict[tuple[str, ...], Part]:
        """The rows by attack and defense, split once for all that asks."""
        return Part.whole(self.rows).split("attack_label", "column")

    def done(self, attack: str, defense: str) -> Part | None:
        """The done records of an attack against a defense, one a seed; None where there is none."""
        part = self.parts.get((attack, defense))
        return part.done if part and len(part.done) else None

    def marked(self, attack: str) -> str:
        """The heading of a row, with a dagger if the attack had not worked with one of the seeds."""
        return f"{attack} {DAGGER}" if attack in self.doubts else attack

    def best(self, attack: str) -> set[str]:
        """The defenses with the highest DER of a row, equals included; one with unfinished cells cannot win.

        Nobody is best where the attack had not worked.
        """
        if attack not in self._winners:
            self._winners[attack] = self._best(attack)
        return self._winners[attack]

    def _best(self, attack: str) -> set[str]:
        if attack in self.doubts and not self.with_invalid:
            return set()
        rivals = {}
        for defense in self.rivals:
            cell = self.cells[attack, defense]
            if cell.status == "done" and cell.done == cell.total and not isnan(cell.stat("der").mean):
                rivals[defense] = round(100 * cell.stat("der").mean, DECIMALS)
        return {name for name, value in rivals.items() if value == max(rivals.values())}


def blocks(frame: pd.DataFrame, *, with_invalid: bool = False) -> list[Block]:
    """The blocks of a frame of records, ordered by their titles."""
    groups = [(tuple(map(str, key)), rows) for key, rows in complete(frame).groupby(BLOCK, sort=True)]
    short = [" · ".join(filter(None, key[:3])) for key, _ in groups]
    return [
        _block(title if short.count(title) == 1 else f"{title} · {key[3]}", rows, with_invalid)
        for title, (key, rows) in zip(short, groups, strict=True)
    ]


def long(found: list[Block]) -> pd.DataFrame:
    """One row a data set, model, attack and defense: means, sample standard deviations, numbers of seeds."""
    lines = []
    for block in found:
        for attack in block.attacks:
            for column in ordered(block.rows, "column", "defense"):
                if (attack, column) in block.parts:
                    lines.append(_line(block.parts[attack, column], column))
    return pd.DataFrame(lines)


def _line(rows: Part, column: str) -> dict[str, object]:
    done = rows.done
    names = ["dataset_label", "model_label", "profile", "recipe", "attack_label"]
    line: dict[str, object] = {name.removesuffix("_label"): rows[name][0] for name in names}
    line |= {"defense": column, "knowledge": rows["knowledge"][0], "seeds": len(rows), "done": len(done)}
    line |= {"valid": int(done["valid"].sum())}
    for metric, stat in done.stats(NUMBERS).items():
        line |= {f"{metric}_mean": stat.mean, f"{metric}_std": stat.std, f"{metric}_n": stat.count}
    return line


def _block(title: str, rows: pd.DataFrame, with_invalid: bool) -> Block:
    attacks = ordered(rows, "attack_label", "attack")
    defenses = ordered(rows[rows["defense"] != "none"], "column", "defense")
    before, cells = _filled(rows, attacks, defenses)
    counted = rows if with_invalid else rows[rows["valid"]]
    tried = counted.groupby("attack_label")["status"].transform(lambda states: (states != "not-applicable").any())
    real = ordered(counted[(counted["attack"] != "none") & tried], "attack_label", "attack")
    if len(real) > 1:
        own_before, own_cells = _filled(counted, real, defenses)
        before[AVERAGE] = _average([own_before[attack] for attack in real])
        cells |= {(AVERAGE, name): _average([own_cells[attack, name] for attack in real]) for name in defenses}
    invalid = rows[~rows["valid"]].drop_duplicates(["attack_label", "seed"])
    doubts: dict[str, dict[int, str]] = {}
    for attack, seed, doubt in invalid[["attack_label", "seed", "doubt"]].itertuples(index=False):
        doubts.setdefault(str(attack), {})[int(seed)] = str(doubt)
    return Block(title, rows, attacks, defenses, before, cells, doubts, with_invalid)


def _filled(
    rows: pd.DataFrame, attacks: list[str], defenses: list[str]
) -> tuple[dict[str, Cell], dict[tuple[str, str], Cell]]:
    """Each attack's undefended network, and each attack against each defense."""
    whole = Part.whole(rows)
    of_attack, parts = whole.split("attack_label"), whole.split("attack_label", "column")
    before = {attack: _before(of_attack[attack,]) for attack in attacks}
    none = whole.at(np.arange(0))
    return before, {(attack, name): _cell(parts.get((attack, name), none)) for attack in attacks for name in defenses}


def _cell(rows: Part) -> Cell:
    if not len(rows.done):
        return Cell(_status(rows), total=len(rows))
    return Cell("done", rows.done.stats(METRICS), len(rows.done), len(rows))


def _before(rows: Part) -> Cell:
    """The undefended network, seed by seed: the control's own values, else what other defenses were given."""
    rows = rows.at(np.argsort(rows["defense"] != "none", kind="stable"))
    control = (rows["defense"] == "none") & (rows["status"] == "done")
    seeds, stats = rows["seed"], {}
    for metric in METRICS[:3]:
        given = rows[f"{metric}_before"]
        values = np.where(np.isnan(given) & control, rows[metric], given)
        there = ~np.isnan(values)
        _, first = np.unique(seeds[there], return_index=True)
        stats[metric] = Stat.of(values[there][first])
    done, total = stats["acc"].count, len(np.unique(seeds))
    return Cell("done", stats, done, total) if done else Cell(_status(rows), total=total)


def _average(cells: list[Cell]) -> Cell:
    """Means over attacks of the means over seeds, with no spread; ``done`` counts the attacks with every seed."""
    values = {metric: Stat.of(cell.stat(metric).mean for cell in cells).mean for metric in METRICS}
    whole = sum(cell.status == "done" and cell.done == cell.total for cell in cells)
    status = "done" if any(cell.status == "done" for cell in cells) else "undefined"
    return Cell(status, {name: Stat(mean, nan, 1) for name, mean in values.items()}, whole, len(cells))


def _status(rows: Part) -> str:
    """The gravest status of cells of which none is done."""
    present = set(rows["status"])
    return next((word for word in ("failed", "timeout", "not-applicable") if word in present), "missing")
