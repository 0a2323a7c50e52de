"""The figures of a block as arrays by attack, column and seed, and what each test image contributes to them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.records.outcomes import Outcomes, OutcomesOf
from bench.reports.records import BEFORE, METRICS

Array = NDArray[Any]
PARTS = {
    "acc": ("right", None),
    "acc_target": ("right", "of_target"),
    "asr": ("hit", "eligible"),
    "ra": ("robust", "eligible"),
}  # a share: of which images it is, and which of them it counts; DER follows from the first and the third
_ELSEWHERE = "imported"  # what stands for the recipe of a victim that was made elsewhere


@dataclass(frozen=True)
class Victim:
    """Outcomes of the ``size`` test images of one victim in every column: masks (C, bytes), eight images a byte.

    known (C,): the columns whose outcomes are known. Column 0 is the undefended network.
    """

    size: int
    masks: dict[str, NDArray[np.uint8]]
    known: Array

    def counted(self, metric: str) -> int:
        """The number of images that a share is of."""
        name = PARTS[metric][1]
        return self.size if name is None else int(self._one(name).sum())

    def contributions(self, metric: str) -> Array | None:
        """What each image adds to the error of each column's figure, float32 (C, N), zero where it is not known.

        They are influences: their mean is 0, and the variance of the figure is their variance over N. None where the
        figure is of no image.
        """
        if metric != "der":
            found = self._share(metric)
            return None if found is None else found[1]
        acc, asr = self._share("acc"), self._share("asr")
        if acc is None or asr is None:
            return None
        falls = [(figures[0] > figures)[:, None] * (parts[0] - parts) for figures, parts in (asr, acc)]
        return np.asarray(0.5 * (falls[0] - falls[1]) * self.known[:, None], dtype=np.float32)

    def _share(self, metric: str) -> tuple[Array, Array] | None:
        name, among = PARTS[metric]
        values = np.unpackbits(self.masks[name], axis=1, count=self.size).astype(np.float32)
        weights = np.ones(self.size, np.float32) if among is None else self._one(among)
        if not weights.any():
            return None
        figures = values @ weights / weights.sum()
        parts = (values - figures[:, None]) * (weights / weights.mean())
        return figures, parts * self.known[:, None]

    def _one(self, name: str) -> Array:
        return np.unpackbits(self.masks[name][0], count=self.size).astype(np.float32)


@dataclass(frozen=True)
class Samples:
    """The ``figures`` of each of ``METRICS``, (A, C, S): attacks, columns and seeds; NaN where there is none.

    The first of the ``columns`` is None, the undefended network; the others are defenses. counted (A, S) bool: the
    victims that count in averages. images (A, S): how many test images a victim's shares are of, by metric. keys
    (A, C, S): the keys of the cells, and ``victim_keys`` (A, S), "" for none; ``outcomes`` gives by them what became of
    every test image, if that is known at all. ``worked_out`` keeps what ``spread`` has worked out.
    """

    attacks: list[str]
    columns: list[str | None]
    seeds: list[int]
    figures: dict[str, Array]
    counted: Array
    images: dict[str, Array]
    keys: Array
    victim_keys: Array
    outcomes: OutcomesOf | None = None
    worked_out: dict[Any, Any] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def of(
        cls, records: pd.DataFrame, attacks: list[str], defenses: list[str], outcomes: OutcomesOf | None
    ) -> "Samples":
        """From a block's records, which have the columns of ``bench.reports.records.complete``."""
        seeds = sorted(int(seed) for seed in records["seed"].unique())
        columns: list[str | None] = [None, *defenses]
        shape = (len(attacks), len(columns), len(seeds))
        done = records[records["status"] == "done"]
        control = (done["defense"] == "none").to_numpy()
        at = _places(done["attack_label"], attacks), _places(done["seed"], seeds)
        column = np.where(control, 0, _places(done["column"], columns))
        values = {metric: np.full(shape, np.nan) for metric in METRICS}
        for metric, own in values.items():
            own[at[0], column, at[1]] = done[metric]  # of the control, its own where records lack those before
            own[:, 0] = own[:, 0] if metric in BEFORE else np.nan
            if metric in BEFORE:
                before = done[f"{metric}_before"].to_numpy()
                told = ~np.isnan(before)
                order = np.flatnonzero(told)[np.argsort(control[told], kind="stable")]  # the control's, written last
                own[at[0][order], 0, at[1][order]] = before[order]
        counted = np.zeros((shape[0], shape[2]), dtype=bool)
        counted[at] = done["valid"]
        keys, victim_keys = np.full(shape, "", dtype=object), np.full(counted.shape, "", dtype=object)
        if "key" in done:
            keys[at[0], column, at[1]] = done["key"].astype(str)
        victim_keys[at] = done["victim_key"]
        images = {metric: np.zeros(counted.shape, dtype=int) for metric in PARTS}
        for metric, count in _counts(done).items():
            images[metric][at] = count
        return cls(attacks, columns, seeds, values, counted, images, keys, victim_keys, outcomes)

    def places(self, attacks: Sequence[str], *, with_invalid: bool) -> list[tuple[int, list[int]]]:
        """The places of the victims of ``attacks`` that count: of each attack, with its seeds."""
        known = self.victim_keys != "" if with_invalid else self.counted
        of_attack = ((self.attacks.index(attack), attack) for attack in attacks)
        return [(place, np.flatnonzero(known[place]).tolist()) for place, _ in of_attack if known[place].any()]

    @cached_property
    def victims(self) -> dict[tuple[int, int], Victim]:
        """The victims whose outcomes are known, by the places of their attack and seed."""
        found = {}
        for attack, seed in np.argwhere(self.victim_keys != "") if self.outcomes else ():
            if victim := self._victim(int(attack), int(seed)):
                found[int(attack), int(seed)] = victim
        return found

    def image_count(self, metric: str, attack: int, seed: int) -> int:
        """Of how many test images a victim's share is; 0 where that is not known."""
        victim = self.victims.get((attack, seed))
        return victim.counted(metric) if victim else int(self.images[metric][attack, seed])

    def _victim(self, attack: int, seed: int) -> Victim | None:
        assert self.outcomes is not None
        cells: list[Outcomes | None] = [None] * len(self.columns)
        for column, key in enumerate(self.keys[attack, :, seed]):
            cells[column] = self.outcomes(key, self.victim_keys[attack, seed]) if key else None
        first = next((cell for cell in cells if cell), None)
        if first is None:
            return None
        known = np.array([cell is not None and cell.size == first.size for cell in cells])
        masks = {}
        for name in ("right", "hit", "robust", "of_target", "eligible"):
            rows = [cell.packed[name] if cell and here else first.packed[name]
                    for cell, here in zip(cells, known, strict=True)]  # fmt: skip
            masks[name] = np.stack(rows) if name not in ("of_target", "eligible") else first.packed[name][None]
        for name in ("right", "hit", "robust"):
            masks[name][0] = first.packed[f"{name}_before"]
        known[0] = True
        return Victim(first.size, masks, known)


def images_of_target(records: pd.DataFrame) -> Array:
    """How many test images are of the target class, for each record of a block (n,); 0 where no record tells.

    Of a single target, the images that are not eligible are those of its class, if all test images were triggered. Of a
    victim made elsewhere it may be some of them only; it is told then by other victims with the same target.
    """
    test, triggered = (records[name].fillna(0).to_numpy(dtype=int) for name in ("n_test", "n_triggered"))
    single = np.array([text.count(",") == 0 and text != "[]" for text in records["targets"]], dtype=bool)
    own = pd.Series(np.where(records["recipe"] == _ELSEWHERE, 0, triggered))
    most = own.groupby([test, records["targets"].to_numpy()]).transform("max").to_numpy(dtype=int)
    return np.where(single & (most > 0), test - most, 0)


def _counts(done: pd.DataFrame) -> dict[str, Array]:
    """The numbers of test images that each record's shares are of, 0 where they are not known."""
    test, triggered = (done[name].fillna(0).to_numpy(dtype=int) for name in ("n_test", "n_triggered"))
    return {"acc": test, "acc_target": images_of_target(done), "asr": triggered, "ra": triggered}


def _places(values: "pd.Series[Any]", among: Sequence[Any]) -> Array:
    at = {value: place for place, value in enumerate(among)}
    return np.array([at.get(value, 0) for value in values], dtype=np.intp)
