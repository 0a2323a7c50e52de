"""The tables beside the results, alike in every format: attacks, detection, reconstruction, knowledge and cost."""

from collections.abc import Callable
from dataclasses import dataclass
from math import isnan, nan
from typing import Any

import pandas as pd

from bench.reports.blocks import Block
from bench.reports.format import UNDEFINED, percent
from bench.reports.records import STEALTH, parsed
from bench.reports.stats import Part, Stat


@dataclass(frozen=True)
class Extra:
    """A plain table: ``lines`` of texts under ``heads``, of which the first ``texts`` columns hold words."""

    title: str
    heads: list[str]
    lines: list[list[str]]
    texts: int


def extras(block: Block) -> list[Extra]:
    """The tables of a block that have a line at all."""
    tables = [stealth(block), detection(block), reconstruction(block), costs(block)]
    return [table for table in tables if table.lines]


def stealth(block: Block) -> Extra:
    """A line for each attack: what it did to the data, how well it works and how well it hides.

    Means over seeds of finished victims; L0 in pixels, L2 and L∞ for images in [0, 1].
    """
    lines = []
    for attack in block.attacks:
        rows = block.rows[(block.rows["attack_label"] == attack) & (block.rows["status"] == "done")]
        rows = rows.drop_duplicates("seed")
        if rows.empty or rows["attack"].iloc[0] == "none":
            continue
        means = rows[["n_poisoned", "n_train", *STEALTH]].mean()
        share = means["n_poisoned"] / means["n_train"] if means["n_train"] else nan
        before = block.before[attack]
        lines.append(
            [
                block.marked(attack),
                _poisoned(share),
                percent(before.stat("acc")),
                percent(before.stat("asr")),
                fixed(means["psnr"], 1),
                fixed(means["ssim"], 3),
                fixed(means["l0"], 0),
                fixed(means["l2"], 2),
                fixed(means["linf"], 3),
            ]
        )
    heads = ["attack", "poisoned", "ACC", "ASR", "PSNR (dB)", "SSIM", "L0", "L2", "L∞"]
    return Extra("The attacks, before any defense", heads, lines, 1)


def detection(block: Block) -> Extra:
    """A line for each attack and defense that judges its inputs: means over seeds, in %."""

    def line(attack: str, defense: str, rows: Part) -> list[list[str]]:
        stats = [Stat.of(rows[name]) for name in ("auroc", "tpr", "fpr")]
        if all(isnan(stat.mean) for stat in stats):
            return []
        return [[block.marked(attack), defense, *map(percent, stats)]]

    heads = ["attack", "defense", "AUROC", "TPR", "FPR"]
    return Extra("Detection of triggered inputs, in %", heads, _of_cells(block, line), 2)


def reconstruction(block: Block) -> Extra:
    """A line for each shift of the latent that a defense reconstructed and the harness held against the true one."""

    def line(attack: str, defense: str, rows: Part) -> list[list[str]]:
        if defense not in block.rivals:
            return []  # an oracle was told the true change
        found: dict[str, list[dict[str, Any]]] = {}
        for noted in rows["diagnostics"]:
            for label, figures in parsed(noted, {}).get("shift_truth", {}).items():
                found.setdefault(label, []).append(figures)
        lines = []
        for label, some in sorted(found.items(), key=lambda item: int(item[0])):
            means = pd.DataFrame(some).mean()
            figures = [fixed(float(means[name]), 3) for name in ("cosine", "correlation", "length")]
            lines.append([block.marked(attack), defense, label, str(len(some)), *figures])
        return lines

    heads = ["attack", "defense", "class", "seeds", "cosine", "correlation", "length"]
    return Extra("Reconstructed shift against the true change of the latent", heads, _of_cells(block, line), 2)


def costs(block: Block) -> Extra:
    """A line for each defense: what it was given, how long it took, how it slows down inference.

    Means over its done cells; ms added is against the same network without a defense, on the same machine.
    """
    lines = []
    for defense, given in knowledge(block).items():
        rows = _done(block, defense)
        added = rows["ms_per_sample"] - rows["ms_per_sample_before"]
        figures = [rows["defense_seconds"], rows["ms_per_sample"], added, rows["peak_memory_mb"]]
        lines.append([defense, given, *(number(float(column.mean())) for column in figures)])
    heads = ["defense", "given to the defender", "seconds", "ms a sample", "ms added", "peak MB"]
    return Extra("Knowledge and cost", heads, lines, 2)


def knowledge(block: Block) -> dict[str, str]:
    """What each defense was given, in the records' words."""
    given = {}
    for defense in block.defenses:
        texts = block.rows.loc[block.rows["column"] == defense, "knowledge"]
        given[defense] = next((text for text in texts if text), "not recorded")
    return given


def number(value: float) -> str:
    """A cost with three significant digits and no exponent."""
    if isnan(value):
        return UNDEFINED
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"


def fixed(value: float, decimals: int) -> str:
    """A figure with so many decimals; a dash where there is none."""
    return UNDEFINED if isnan(value) else f"{value:.{decimals}f}"


def _of_cells(block: Block, line: Callable[[str, str, Part], list[list[str]]]) -> list[list[str]]:
    """What ``line`` says of every attack and defense that have a done cell."""
    lines = []
    for attack in block.attacks:
        for defense in block.defenses:
            rows = block.done(attack, defense)
            if rows:
                lines += line(attack, defense, rows)
    return lines


def _done(block: Block, defense: str) -> pd.DataFrame:
    return block.rows[(block.rows["column"] == defense) & (block.rows["status"] == "done")]


def _poisoned(share: float) -> str:
    """The share of poisoned training images; an attack that controls training poisons its batches instead."""
    if isnan(share):
        return UNDEFINED
    return f"{100 * share:.2g} %" if share else "in training"
