"""The tables of measurements beside the results, alike in every format."""

from collections.abc import Callable
from math import isnan, nan

import pandas as pd

from bench.records.note_types import Agreement
from bench.reports.blocks import Block
from bench.reports.diagnostics import shift_truth
from bench.reports.format import UNDEFINED, fixed, number, percent
from bench.reports.identification import identification_table
from bench.reports.records import DETECTION, STEALTH
from bench.reports.side_table import SideTable
from bench.reports.stats import RowSet, Stat
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
_COSTS = (
    "ms added: to the bare network's, timed by turns in the same cell; – where it is no more than it varies, "
    "or was not timed so. Peak MB: memory that a defense added; in older records, of the whole process."
)


def side_tables(block: Block) -> list[SideTable]:
    """The tables of measurements beside a block's results, without those that have no line."""
    makers = (
        *(interval_table, differences_table, ranks_table, stability_table),
        *(attack_table, detection_table, identification_table, reconstruction_table, cost_table),
    )
    tables = [make(block) for make in makers]
    return [table for table in tables if table.lines]


def attack_table(block: Block) -> SideTable:
    """A line for each attack: what it did to the data, how well it works and how well it hides.

    Means over seeds of finished victims. L0 is in pixels; L2 and L∞ are of images in [0, 1].
    """
    done = block.records[(block.records["status"] == "done") & (block.records["attack"] != "none")]
    of_attack = dict(iter(done.groupby("attack_label")))
    lines: list[list[str]] = []
    columns: dict[str, str] = {}
    for attack in [name for name in block.attacks if name in of_attack]:
        victims = of_attack[attack].drop_duplicates("seed")
        means = victims[["n_poisoned", "n_train", *STEALTH]].mean()
        before = block.before[attack]
        share = means["n_poisoned"] / means["n_train"] if means["n_train"] else nan
        columns = {
            "poisoned": _poisoned(share, set(victims["controls"])),
            "ACC": percent(before.stat("acc")),
            "ASR": percent(before.stat("asr")),
            "base rate": percent(Stat.of(victims["base_rate"])),
            "ASR benign": percent(Stat.of(victims["asr_benign"])),
            "PSNR (dB)": fixed(means["psnr"], 1),
            "SSIM": fixed(means["ssim"], 3),
            "L0": fixed(means["l0"], 0),
            "L2": fixed(means["l2"], 2),
            "L∞": fixed(means["linf"], 3),
        }
        lines.append([block.marked(attack), *columns.values()])
    return SideTable("The attacks, before any defense", ["attack", *columns], lines, 1, _OF_ATTACKS)


def detection_table(block: Block) -> SideTable:
    """A line for each attack and defense that judges its inputs: means over seeds, in %."""

    def line(attack: str, defense: str, records: RowSet) -> list[list[str]]:
        stats = [Stat.of(records[name]) for name in DETECTION]
        if all(isnan(stat.mean) for stat in stats):
            return []
        return [[block.marked(attack), defense, *map(percent, stats)]]

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
    """A line for each defense: what it was given, how long it took, how much it slows inference down.

    Means over its done cells. "ms added" is a dash where it is no more than it varies.
    """
    of_defense = dict(iter(block.records.groupby("column")))
    lines = []
    for defense in block.defenses:
        own = of_defense[defense]
        done = own[own["status"] == "done"]
        means = done[["defense_seconds", "ms_per_sample", "ms_added", "ms_added_spread", "peak_memory_mb"]].mean()
        if not abs(means["ms_added"]) > means.pop("ms_added_spread"):
            means["ms_added"] = nan
        knowledge = next((text for text in own["knowledge"] if text), "not recorded")
        lines.append([defense, knowledge, *map(number, means.tolist())])
    heads = ["defense", "given to the defender", "seconds", "ms a sample", "ms added", "peak MB"]
    return SideTable("Knowledge and cost", heads, lines, 2, _COSTS)


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
        return f"{100 * share:.2g} %"
    return "in training" if "training" in controls else "0 %, or in training"
