"""Published figures beside measured ones: what was measured here, what the source says, and how far they are apart.

A published cell stands beside those measured ones that have its data set, its family of architectures, its attack with
its label map, and its defense. The settings hardly ever agree in all; how they differ is said in a table of its own.
"""

import json
import re
from collections import Counter
from dataclasses import dataclass
from math import isclose, isnan, nan
from typing import Any

import pandas as pd

from bench.records import printable
from bench.reports.blocks import Block
from bench.reports.format import NO_DEFENSE, UNDEFINED, percent
from bench.reports.published import METRICS, Published, family, number, published_cells
from bench.reports.records import VALIDATION
from bench.reports.side_table import SideTable
from bench.reports.stats import RowSet, Stat

_HEADS = {"acc": "ACC", "asr": "ASR", "ra": "RA", "der": "DER", "tpr_assigned": "TPR→t", "fpr_assigned": "FPR→t"}
_FIGURES = (
    "Measured here, as published, and measured minus published in points. Beside each other stand cells of the same "
    "data set, family of architectures, attack and defense; the settings differ as the next table says. "
    "Of how many runs a published figure is the mean is not known."
)
_SURE = {
    "second-hand": "?: read second-hand.",
    "not stated": "(?): taken over without a word on whether the paper itself was read.",
}
_MARK = {"firm": "", "second-hand": " ?", "not stated": " (?)"}


@dataclass(frozen=True)
class Pair:
    """A published cell and the heading of the measured column beside it; None is the undefended network."""

    cell: Published
    attack: str
    defense: str | None


def published_tables(block: Block, cells: tuple[Published, ...] | None = None) -> list[SideTable]:
    """The figures side by side and how their settings differ; nothing where there is no published cell.

    ``cells``: the published ones, by default all that come with the package.
    """
    found = pairs(block, published_cells() if cells is None else cells)
    return [figures_table(block, found), settings_table(block, found)] if found else []


def pairs(block: Block, cells: tuple[Published, ...]) -> list[Pair]:
    """The published cells that a measured cell of ``block`` agrees with, in the order of the block's table."""
    first = block.records.iloc[0]
    if VALIDATION in first["dataset_label"]:
        return []
    of_plugins: dict[tuple[str, str], list[Published]] = {}
    for cell in cells:
        if cell.dataset == first["dataset"] and family(cell.architecture) == family(first["model"]):
            of_plugins.setdefault((cell.attack, cell.defense), []).append(cell)
    found = []
    for attack in block.attacks if of_plugins else ():
        name, label_map = _attack(block, attack)
        for heading, defense in _defenses(block, attack).items():
            for cell in of_plugins.get((name, defense), ()):
                if cell.label_map in ("", label_map):
                    found.append(Pair(cell, attack, heading))
    return [pair for pair in found if any(not isnan(measured(block, pair, metric).mean) for metric in METRICS)]


def measured(block: Block, pair: Pair, metric: str) -> Stat:
    """The measured value beside a published one, in [0, 1]; NaN where there is none."""
    if metric in ("tpr_assigned", "fpr_assigned"):
        records = block.done_records(pair.attack, pair.defense) if pair.defense else None
        return Stat.of(records[metric]) if records else Stat()
    return block.cell(pair.attack, pair.defense).stat(metric)


def figures_table(block: Block, found: list[Pair]) -> SideTable:
    """A line for each pair. Of each metric that a source has: measured, published and the difference."""
    metrics = [metric for metric in METRICS if any(getattr(pair.cell, metric) is not None for pair in found)]
    several = Counter((pair.attack, pair.defense, pair.cell.source) for pair in found)
    lines = []
    for pair in found:
        figures = [text for metric in metrics for text in _side_by_side(block, pair, metric)]
        source = pair.cell.source + _MARK[pair.cell.certainty]
        if several[pair.attack, pair.defense, pair.cell.source] > 1:
            source += f": {pair.cell.attack_as_published}"
        lines.append([block.marked(pair.attack), pair.defense or NO_DEFENSE, source, *figures])
    heads = [head for name in metrics for head in (_HEADS[name], f"{_HEADS[name]} publ.", f"{_HEADS[name]} diff.")]
    unsure = [text for kind, text in _SURE.items() if any(pair.cell.certainty == kind for pair in found)]
    note = " ".join([_FIGURES, *unsure])
    return SideTable("Published beside measured, in %", ["attack", "defense", "source", *heads], lines, 3, note)


def settings_table(block: Block, found: list[Pair]) -> SideTable:
    """How the settings differ: what is so here, and in brackets what is so in the source.

    Attacks and defenses of one source that differ alike share a line.
    """
    alike: dict[tuple[str, str, str], list[Pair]] = {}
    for pair in sorted(found, key=lambda pair: pair.cell.source):
        differing, unknown = "; ".join(_differences(block, pair)), ", ".join(_unknown(pair.cell))
        alike.setdefault((pair.cell.source, differing, unknown), []).append(pair)
    lines = []
    for (source, differing, unknown), own in alike.items():
        attacks = list(dict.fromkeys(pair.attack for pair in own))
        defenses = list(dict.fromkeys(pair.defense or NO_DEFENSE for pair in own))
        lines.append(
            [
                source,
                ", ".join(attacks),
                ", ".join(defenses),
                differing or "in nothing that is known",
                unknown or UNDEFINED,
            ]
        )
    heads = ["source", "attacks", "defenses", "here (in the source)", "not known of the source"]
    return SideTable("How the settings differ from the published ones", heads, lines, 5)


def _side_by_side(block: Block, pair: Pair, metric: str) -> list[str]:
    published, own = getattr(pair.cell, metric), measured(block, pair, metric)
    difference = 100 * own.mean - (nan if published is None else published)
    return [
        percent(own),
        UNDEFINED if published is None else f"{published:.1f}",
        UNDEFINED if isnan(difference) else _signed(difference),
    ]


def _signed(points: float) -> str:
    text = f"{points:+.1f}"
    return "0.0" if float(text) == 0 else text


def _differences(block: Block, pair: Pair) -> list[str]:
    """Each setting that is known of both and is not the same, such as "width 16 (64)"."""
    cell, first = pair.cell, block.records.iloc[0]
    attack, model = _attack_parameters(block, pair.attack), _object(first["model_params"])
    phrases = []
    if cell.architecture != first["model"]:
        phrases.append(f"{first['model']} ({cell.architecture_as_published})")
    phrases += _numbers("width", model.get("width"), cell.width)
    phrases += _numbers("training images", _mean(block, pair, "n_train"), cell.train_images)
    if cell.epochs and not re.search(rf"\bepochs={cell.epochs}\b", first["recipe"]):
        phrases.append(f"recipe {first['recipe']} ({cell.epochs} epochs)")
    phrases += _numbers("poisoning rate", attack.get("poisoning_rate"), cell.poisoning_rate)
    phrases += _parameters(cell.attack_settings, attack)
    if pair.defense:
        records = block.by_cell[pair.attack, pair.defense]
        phrases += _numbers("clean reference images", _mean(block, pair, "reference"), cell.reference)
        if cell.reference_from == "test":
            phrases.append("reference images from the training set (from the test set)")
        phrases += _parameters(cell.defense_settings, _object(records["defense_params"][0]))
    said = [f"({cell.note})"] if cell.note else []
    return [*map(printable, phrases), *said]


def _parameters(published: dict[str, str], own: dict[str, Any]) -> list[str]:
    """The parameters that differ. One that a record does not have was not there yet when the record was made."""
    phrases = []
    for name, text in published.items():
        value, there = own.get(name), number(text)
        same = text == value if there is None else _equal(value, float(there))
        if name in own and not same:
            phrases.append(f"{name} {_shown(value)} ({text})")
    return phrases


def _numbers(name: str, own: Any, published: float | None) -> list[str]:
    """The phrase for a number that both know and that differs, as a list; else none."""
    known = published is not None and isinstance(own, int | float) and own == own
    return [f"{name} {_shown(own)} ({_shown(published)})"] if known and not _equal(own, published) else []


def _equal(value: Any, published: float | None) -> bool:
    """Whether a value is a published number, up to its rounding."""
    try:
        return published is not None and isinstance(value, int | float) and isclose(value, published, rel_tol=1e-4)
    except OverflowError:  # an integer beyond all floats
        return False


def _shown(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else "none" if value is None else str(value)


def _unknown(cell: Published) -> list[str]:
    """What the source does not say, or nobody could read."""
    known = {
        "training images": cell.train_images,
        "epochs of the victim": cell.epochs,
        "poisoning rate": cell.poisoning_rate,
        "clean reference images": 0 if cell.defense == "none" else cell.reference,
        "parameters of the defense": cell.defense == "none" or cell.defense_settings or None,
    }
    return [name for name, value in known.items() if value is None]


def _attack(block: Block, attack: str) -> tuple[str, str]:
    """The name of an attack's plugin, and its label map."""
    label_map = _attack_parameters(block, attack).get("label_map", "all-to-one")
    return str(_of_attack(block, attack)["attack"][0]), str(label_map)


def _defenses(block: Block, attack: str) -> dict[str | None, str]:
    """By the heading of a column, the name of its plugin; None stands for the undefended network."""
    own = {name: block.by_cell[attack, name] for name in block.defenses if (attack, name) in block.by_cell}
    return {None: "none"} | {name: str(records["defense"][0]) for name, records in own.items()}


def _attack_parameters(block: Block, attack: str) -> dict[str, Any]:
    return _object(_of_attack(block, attack)["attack_params"][0])


def _of_attack(block: Block, attack: str) -> RowSet:
    """The records of one of an attack's cells; its victim is the same in all."""
    return next(block.by_cell[attack, name] for name in ["none", *block.defenses] if (attack, name) in block.by_cell)


def _mean(block: Block, pair: Pair, column: str) -> float:
    """The mean of a column of numbers, NaN where the records lack it."""
    if column not in block.records:
        return nan
    records = block.by_cell[pair.attack, pair.defense] if pair.defense else _of_attack(block, pair.attack)
    return Stat.of(pd.to_numeric(pd.Series(records[column]), errors="coerce").to_numpy(float)).mean


def _object(text: str) -> dict[str, Any]:
    """The object in a JSON text; an empty one for anything else."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
