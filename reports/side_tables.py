"""The tables of measurements beside the results, alike in every format."""

from collections.abc import Callable
from math import isnan, nan

import numpy as np
import pandas as pd

from bench.records.note_types import Agreement
from bench.reports.blocks import Block
from bench.reports.diagnostics import shift_truth
from bench.reports.format import UNDEFINED, fixed, number, percent, tally
from bench.reports.identification import identification_table
from bench.reports.records import DETECTION
from bench.reports.side_table import SideTable
from bench.reports.stats import RowSet, Stat
from bench.reports.uncertainty.detection_intervals import attack_interval_table, detection_interval_table
from bench.reports.uncertainty.differences import differences_table
from bench.reports.uncertainty.interval_table import interval_table
from bench.reports.uncertainty.ranks import ranks_table
from bench.reports.uncertainty.stability import stability_table

_OF_ATTACKS = (
    "Base rate: the share of clean images of other classes that the network takes for their target anyway. "
    "ASR benign: the share of triggered images that a benign network takes for their target; – where it is not known."
)
_DENOMINATORS = (
    "AP: average precision, of which chance is the share of triggered inputs. TPR and FPR: of all triggered and of all "
    "clean inputs. "
    "→t: only of those that the undefended network assigns to a target class, as BNA's paper counts."
)
_UNLIKE = " Not all are over the same victims, so costs that depend on the attack differ for that too."
_COSTS = (
    "Means over cells on one device. ms added: to the bare network's, timed by turns in the same cell; – where it is "
    "no more than it varies, "
    "or was not timed so. Peak MB: memory that a defense added; in older records, of the whole process."
)


_RATES = {"base_rate": "base rate", "asr_benign": "ASR benign"}
_HIDING = {"psnr": ("PSNR (dB)", 1), "ssim": ("SSIM", 3), "l0": ("L0", 0), "l2": ("L2", 2), "linf": ("L∞", 3)}
_OF_VICTIMS = [*_RATES, *_HIDING, "means_over"]
_OF_COSTS = ["defense_seconds", "ms_per_sample", "ms_added", "peak_memory_mb"]


def side_tables(block: Block) -> list[SideTable]:
    """The tables of measurements beside a block's results, without those that have no line."""
    makers = (
        *(interval_table, differences_table, ranks_table, stability_table),
        *(attack_table, attack_interval_table, detection_table, detection_interval_table),
        *(identification_table, reconstruction_table, cost_table),
    )
    tables = [make(block) for make in makers]
    return [table for table in tables if table.lines]


def attack_table(block: Block) -> SideTable:
    """A line for each attack: what it did to the data, how well it works and how well it hides.

    Means over seeds of finished victims, "(1/3)" where a figure is known with one of three. L0 is in pixels; L2 and L∞
    are of images in [0, 1].
    """
    done = block.records[(block.records["status"] == "done") & (block.records["attack"] != "none")]
    of_attack = dict(iter(done.groupby("attack_label")))
    lines: list[list[str]] = []
    for attack in [name for name in block.attacks if name in of_attack]:
        records, before = of_attack[attack], block.before[attack]
        victims = RowSet.whole(records.groupby("seed", as_index=False)[_OF_VICTIMS].first())
        share = records["n_poisoned"].mean() / records["n_train"].mean() if records["n_train"].any() else nan
        rates = [_known(percent(Stat.of(victims[name])), victims, name, before.total) for name in _RATES]
        hiding = [
            _known(fixed(Stat.of(victims[name]).mean, decimals), victims, name, before.total)
            for name, (_, decimals) in _HIDING.items()
        ]
        acc, asr = (percent(before.stat(name)) + f" ({tally(before)})" * bool(tally(before)) for name in ("acc", "asr"))
        poisoned = _poisoned(share, set(records["controls"]))
        lines.append([block.marked(attack), poisoned, acc, asr, *rates, *hiding])
    heads = ["attack", "poisoned", "ACC", "ASR", *_RATES.values(), *(head for head, _ in _HIDING.values())]
    return SideTable("The attacks, before any defense", heads, lines, 1, _OF_ATTACKS)


def detection_table(block: Block) -> SideTable:
    """A line for each attack and defense that judges its inputs: means over seeds, in %; "(1/3)" where a figure is
    known with one of three."""

    def line(attack: str, defense: str, records: RowSet) -> list[list[str]]:
        stats = {name: Stat.of(records[name]) for name in DETECTION}
        if all(isnan(stat.mean) for stat in stats.values()):
            return []
        total = block.cells[attack, defense].total
        texts = [_known(percent(stat), records, name, total) for name, stat in stats.items()]
        return [[block.marked(attack), defense, *texts]]

    heads = ["attack", "defense", "AUROC", "AP", "TPR at 1 % FPR", "TPR", "FPR", "TPR→t", "FPR→t"]
    return SideTable("Detection of triggered inputs, in %", heads, _of_cells(block, line), 2, _DENOMINATORS)


def reconstruction_table(block: Block) -> SideTable:
    """A line for each shift of the latent that a defense reconstructed and that was compared with the true one."""

    def line(attack: str, defense: str, records: RowSet) -> list[list[str]]:
        if defense not in block.rivals:
            return []  # an oracle is given the true change
        of_class: dict[int, list[Agreement]] = {}
        for text in records["diagnostics"]:
            for label, agreement in shift_truth(text).items():
                of_class.setdefault(label, []).append(agreement)
        lines = []
        for label, agreements in sorted(of_class.items()):
            means = pd.DataFrame([agreement.model_dump() for agreement in agreements]).mean()
            numbers = [fixed(float(means[name]), 3) for name in ("cosine", "correlation", "length")]
            lines.append([block.marked(attack), defense, str(label), str(len(agreements)), *numbers])
        return lines

    heads = ["attack", "defense", "class", "seeds", "cosine", "correlation", "length"]
    return SideTable("Reconstructed shift against the true change of the latent", heads, _of_cells(block, line), 2)


def cost_table(block: Block) -> SideTable:
    """A line for each defense, and for each device that it ran on: what it was given, how long it took, how much it
    slows inference down.

    Means over its done cells, as many as stated; "(1/3)" where a figure is known of one of three. "ms added" is a dash
    where it is no more than it varies.
    """
    done = block.records[(block.records["status"] == "done") & block.records["column"].isin(block.defenses)]
    devices = _devices(done)
    several = len(set(devices)) > 1
    lines, victims = [], set[frozenset[tuple[str, int]]]()
    for defense in block.defenses:
        own = block.records[block.records["column"] == defense]
        knowledge = next((text for text in own["knowledge"] if text), "not recorded")
        of_device = dict(iter(done[done["column"] == defense].groupby(devices))) or {UNDEFINED: done.iloc[:0]}
        for device, cells in of_device.items():
            victims.add(frozenset(zip(cells["attack_label"], cells["seed"], strict=True)))
            lines.append([defense, knowledge, *[str(device)] * several, *_costs(RowSet.whole(cells))])
    heads = ["defense", "given to the defender", *["device"] * several, "cells"]
    note = (
        _COSTS
        + (_UNLIKE if len(victims) > 1 else "")
        + (f" Device: {devices.iloc[0]}." if len(done) and not several else "")
    )
    heads += ["seconds", "ms a sample", "ms added", "peak MB"]
    return SideTable("Knowledge and cost", heads, lines, 2 + several, note)


def _costs(cells: RowSet) -> list[str]:
    """The number of cells, and the means of what they cost."""
    means = {name: Stat.of(cells[name]).mean for name in [*_OF_COSTS, "ms_added_spread"]}
    if not abs(means["ms_added"]) > means["ms_added_spread"]:
        means["ms_added"] = nan
    return [str(len(cells)), *(_known(number(means[name]), cells, name, _seeds(cells)) for name in _OF_COSTS)]


def _devices(records: pd.DataFrame) -> "pd.Series[str]":
    """What each record was made on; with the number of threads where that differs on one device."""
    device = records["device"].where(records["device"] != "", "not recorded")
    if "threads" not in records:
        return device
    threads = records["threads"].map(lambda count: f", {count:.0f} thread{'s' * (count != 1)}" if count > 0 else "")
    differ = threads.groupby(device).transform("nunique") > 1
    return device + threads.where(differ, "")


def _known(text: str, records: RowSet, column: str, total: int) -> str:
    """The text of a mean over records, and of how many of ``total`` seeds it is known if not of all."""
    over = _seeds(records.at(~np.isnan(records[column])))
    return f"{text} ({over}/{total})" if 0 < over < total and text != UNDEFINED else text


def _seeds(records: RowSet) -> int:
    """Over how many seeds records are, one each or means over some."""
    return int(np.maximum(records["means_over"], 1).sum())


def _of_cells(block: Block, line: Callable[[str, str, RowSet], list[list[str]]]) -> list[list[str]]:
    """The lines that ``line`` makes of every attack and defense that have a done record."""
    lines = []
    for attack in block.attacks:
        for defense in block.defenses:
            records = block.done_records(attack, defense)
            if records:
                lines += line(attack, defense, records)
    return lines


def _poisoned(share: float, controls: set[str]) -> str:
    """The share of poisoned training images; an attack that controls training may poison its batches instead.

    ``controls``: what the attack's records say of it; "" in those that were made before they said it.
    """
    if isnan(share):
        return UNDEFINED
    if share or "data" in controls:
        return f"{number(100 * share)} %"
    return "in training" if "training" in controls else "0 %, or in training"
