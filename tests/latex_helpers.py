"""Compiling LaTeX, and reading what it says; large grids to set."""

import re
import shutil
import subprocess
from dataclasses import replace
from itertools import product
from pathlib import Path

import pandas as pd
from report_frames import record, sections

from bench.reports.sections import Section, section
from bench.reports.stats import Stat
from bench.reports.tables.latex import latex_files
from bench.reports.tables.latex_floats import USUAL, Paper

ATTACKS = ["none", "badnets", "blend", "sig", "wanet", "trojan", "lira", "bpp", "input_aware", "ctrl", "ftrojan"]
DEFENSES = ["none", "tac", "bna", "fire", "fine_pruning", "ft_sam", "i_bau", "nad", "strip"]
METRICS = ("acc", "asr", "ra", "der")
ENGINES = ["pdflatex", "lualatex"]
_DEFECTS = re.compile(r"^(?:Overfull|!|LaTeX Warning: (?:Float too large|Label `|Command)).*", re.MULTILINE)


def large(seeds: int = 1) -> pd.DataFrame:
    """Ten attacks and the control row against eight defenses."""
    known = {"none": "none", "badnets": "badnets", "tac": "tac[beta=1.0]", "fire": "fire"}
    rows = []
    for attack, defense, seed in product(ATTACKS, DEFENSES, range(seeds)):
        row = record("blend" if attack not in known else attack, known.get(defense, "bna"), seed)
        label = row["attack_label"] if attack == "badnets" else attack
        row |= {"attack": attack, "attack_label": label, "victim_key": f"{attack}-{seed}"}
        rows.append(row | {"defense": defense, "defense_label": known.get(defense, defense)})
    return pd.DataFrame(rows)


def shown(
    frame: pd.DataFrame, *, by_defense: bool = False, intervals: bool = False, metrics: tuple[str, ...] = METRICS
) -> list[Section]:
    """The sections of a frame with four metrics, either way round; with intervals of every figure."""
    made = []
    for one in sections(frame):
        block = replace(one.block, metrics=metrics, defenses_as_rows=by_defense)
        if intervals:
            cells = {key: replace(cell, stats={n: _bounded(s) for n, s in cell.stats.items()}) for key, cell in
                     block.cells.items()}  # fmt: skip
            block = replace(block, cells=cells)
        made.append(section(block))
    return made


def _bounded(stat: Stat) -> Stat:
    return replace(stat, low=stat.mean - 0.0123, high=stat.mean + 0.0045)


def written(made: list[Section], folder: Path, paper: Paper = USUAL) -> dict[str, str]:
    """The files of a report in LaTeX, in ``folder`` too."""
    files = latex_files(made, paper)
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    return files


def compiled(engine: str, folder: Path, paper: str = "paper.tex") -> list[str]:
    """What is wrong with a paper by its log: overfull boxes, errors, floats that are too large."""
    command = ["nice", engine, "-interaction=nonstopmode", "-halt-on-error", "-no-shell-escape", paper]
    done = subprocess.run(command, cwd=folder, capture_output=True, check=False, timeout=250)
    log = (folder / paper).with_suffix(".log").read_text(encoding="utf-8", errors="replace")
    defects = _DEFECTS.findall(log)
    return defects or ([] if done.returncode == 0 else [log[-1500:]])


def missing(engine: str) -> bool:
    """Whether this machine has no such engine."""
    return shutil.which(engine) is None
