"""The tables of the 95 % intervals of figures that are no metrics of the main table: detection, and before defenses."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from bench.reports.blocks import Block
from bench.reports.format import UNDEFINED
from bench.reports.records import DETECTION
from bench.reports.side_table import SideTable
from bench.reports.uncertainty.intervals import between_0_and_1, limits_of_shares, wilson
from bench.reports.uncertainty.quantiles import quantile
from bench.reports.uncertainty.samples import Array, images_of_target

_SEEDS = "Over several seeds: from their spread, with Student's quantiles, for these test images. "
_DETECTION = (
    _SEEDS
    + "With one seed, or where all agree: Wilson's of TPR and FPR, of AUROC that of Hanley and McNeil (Radiology "
    "143 (1982)), which takes clean and triggered images as drawn apart. AP and TPR at 1 % FPR, whose threshold is of "
    "the same images, then have none (–)."
)
_BEFORE = _SEEDS + "With one seed, or where all agree: Wilson's, from the triggered images."
_ATTACK = ("base_rate", "asr_benign")
Limits = tuple[Array, Array]


def detection_interval_table(block: Block) -> SideTable:
    """A line for each attack and defense that judges its inputs, as in the table of detection."""
    judged = block.records[block.records[DETECTION].notna().any(axis=1) & (block.records["status"] == "done")]
    pairs = {(attack, name) for attack, name in judged[["attack_label", "column"]].itertuples(index=False)}
    order = [(attack, name) for attack in block.attacks for name in block.defenses if (attack, name) in pairs]
    ends = [_limits(judged, ["attack_label", "column"], order, name) for name in DETECTION]
    heads = ["attack", "defense", "AUROC", "AP", "TPR at 1 % FPR", "TPR", "FPR", "TPR→t", "FPR→t"]
    lines = _lines([[block.marked(attack), name] for attack, name in order], ends)
    return SideTable("Intervals of detection, 95 %, in %", heads, lines, 2, _DETECTION)


def attack_interval_table(block: Block) -> SideTable:
    """A line for each attack: of what the table of attacks has and the main table has not."""
    done = block.records[(block.records["status"] == "done") & (block.records["attack"] != "none")]
    attacks = [name for name in block.attacks if (done["attack_label"] == name).any()]
    order = [(attack,) for attack in attacks]
    ends = [_limits(done, ["attack_label"], order, name) for name in _ATTACK]
    lines = _lines([[block.marked(attack)] for attack in attacks], ends)
    heads = ["attack", "base rate", "ASR benign"]
    return SideTable("Intervals before any defense, 95 %, in %", heads, lines, 1, _BEFORE)


def hanley_mcneil(area: Array, clean: Array, triggered: Array) -> Array:
    """The standard error of areas under ROC curves in [0, 1], of so many ``clean`` and ``triggered`` images."""
    both, one = area / (2 - area), 2 * area**2 / (1 + area)
    more = (triggered - 1) * (both - area**2) + (clean - 1) * (one - area**2)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.sqrt(np.maximum(area * (1 - area) + more, 0) / (clean * triggered)))


def _limits(
    records: pd.DataFrame,
    by: list[str],
    order: Sequence[tuple[str, ...]],
    name: str,
) -> Limits:
    """The ends of the intervals of a column's means over seeds, for each combination of ``by`` in ``order``."""
    places = {key: place for place, key in enumerate(order)}
    shown = np.array([key in places for key in records[by].itertuples(index=False, name=None)], dtype=bool)
    known = records[records[name].notna() & shown]
    seeds = {seed: place for place, seed in enumerate(sorted(known["seed"].unique()))}
    values, counts = np.full((len(order), max(len(seeds), 1)), np.nan), np.zeros((len(order), max(len(seeds), 1)))
    row = np.array([places[key] for key in known[by].itertuples(index=False, name=None)], dtype=int)
    at = row, np.array([seeds[seed] for seed in known["seed"]], dtype=int)
    values[at] = known[name]
    counts[at] = _images(known, name)
    low, high = limits_of_shares(values, counts)
    if name == "auroc":
        low, high = _of_area(known, at, values, (low, high))
    return low, high


def _of_area(known: pd.DataFrame, at: tuple[Array, Array], values: Array, of_seeds: Limits) -> Limits:
    """Where seeds tell nothing, Hanley and McNeil's in the form that shares have; without any error, as of a share of
    the fewer images, which is the widest that it may be."""
    sizes = np.zeros((2, *values.shape))
    sizes[0][at], sizes[1][at] = known["n_test"], known["n_triggered"]
    first = np.arange(len(values)), np.argmax(~np.isnan(values), axis=1)
    area, clean, triggered = values[first], sizes[0][first], sizes[1][first]
    half = quantile(np.inf) * hanley_mcneil(area, clean, triggered)
    own, widest = between_0_and_1(area, half), wilson(area, np.nan_to_num(np.minimum(clean, triggered)))
    return tuple(  # type: ignore[return-value]
        np.where(np.isnan(seeds), np.where(np.isin(area, (0, 1)), extreme, usual), seeds)
        for seeds, usual, extreme in zip(of_seeds, own, widest, strict=True)
    )


def _images(records: pd.DataFrame, name: str) -> Array:
    """Of how many test images a column's share is in each record; 0 where that is not known, or it is no such share."""
    test, triggered = (records[count].to_numpy(float) for count in ("n_test", "n_triggered"))
    if name == "fpr":
        return np.asarray(test)
    if name in ("tpr", *_ATTACK):
        return np.asarray(triggered)
    if name == "tpr_assigned":
        return np.asarray(np.nan_to_num(np.round(records["asr_before"].to_numpy(float) * triggered)))
    if name == "fpr_assigned":
        own = images_of_target(records)
        assigned = records["acc_target_before"] * own + records["base_rate"] * triggered
        return np.asarray(np.where(own > 0, np.nan_to_num(np.round(assigned.to_numpy(float))), 0))
    return np.zeros(len(records))


def _lines(heads: list[list[str]], ends: list[Limits]) -> list[list[str]]:
    """The lines that have an interval."""
    lines = []
    for place, head in enumerate(heads):
        bounds = [(float(low[place]), float(high[place])) for low, high in ends]
        if not all(np.isnan(low) for low, _ in bounds):
            texts = [UNDEFINED if np.isnan(low) else f"{100 * low:.1f}–{100 * high:.1f}" for low, high in bounds]
            lines.append([*head, *texts])
    return lines
