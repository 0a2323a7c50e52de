"""The table of what the defenses took for the target classes: right, wrong or none."""

import numpy as np

from bench.reports.blocks import Block
from bench.reports.format import UNDEFINED, word
from bench.reports.side_table import SideTable
from bench.reports.uncertainty.intervals import wilson

VERDICTS = ("right", "wrong", "none")
_NOTE = (
    "right: the classes named are the target classes; wrong: others are; none: no class is named. "
    "A false alarm names a class of a benign model. Intervals: Wilson's at 95 %, of victims taken as independent."
)


def identification_table(block: Block) -> SideTable:
    """A line for each attack, a column for each defense that looks for the target classes, then rates over victims.

    A cell counts its seeds by verdict. Victims that were not attacked with success do not count in the rates, unless
    the block's averages are ``with_invalid``.
    """
    looking = [name for name in block.rivals if any(_verdicts(block, attack, name) for attack in block.attacks)]
    lines = [[block.marked(attack), *(_cell(block, attack, name) for name in looking)] for attack in block.attacks]
    benign = set(block.records.loc[block.records["attack"] == "none", "attack_label"])
    attacked = [attack for attack in block.attacks if attack not in benign]
    rates = {"right, of attacked victims": (attacked, "right"), "false alarms, of benign": (list(benign), "wrong")}
    for title, (attacks, verdict) in rates.items():
        counts = [_rate(block, attacks, name, verdict) for name in looking]
        lines.append([title, *(f"{count} of {size}" if size else UNDEFINED for count, size in counts)])
        if any(size for _, size in counts):
            lines.append([f"{title.split(',')[0]}: interval, in %", *(_interval(*count) for count in counts)])
    return SideTable("Target classes named", ["attack", *looking], lines if looking else [], 1 + len(looking), _NOTE)


def _cell(block: Block, attack: str, defense: str) -> str:
    """One seed's verdict, or how many seeds have which: "2 right, 1 none"."""
    verdicts = _verdicts(block, attack, defense)
    cell = block.cells[attack, defense]
    if not verdicts:
        return UNDEFINED if cell.status == "done" else word(cell)
    if len(verdicts) == cell.total == 1:
        return verdicts[0]
    return ", ".join(f"{verdicts.count(verdict)} {verdict}" for verdict in VERDICTS if verdict in verdicts)


def _rate(block: Block, attacks: list[str], defense: str, verdict: str) -> tuple[int, int]:
    """How many of the victims of ``attacks`` have this verdict, and of how many."""
    verdicts = [one for attack in attacks for one in _verdicts(block, attack, defense, counted=True)]
    return verdicts.count(verdict), len(verdicts)


def _interval(count: int, size: int) -> str:
    """Wilson's interval of a share of victims; a dash without any."""
    if not size:
        return UNDEFINED
    low, high = (float(end[0]) for end in wilson(np.array([count / size]), np.array([size])))
    return f"{100 * low:.0f}–{100 * high:.0f}"


def _verdicts(block: Block, attack: str, defense: str, *, counted: bool = False) -> list[str]:
    """The verdicts of the done seeds; ``counted``: of those that count in rates."""
    records = block.done_records(attack, defense)
    if records and counted and not block.with_invalid:
        records = records.at(records["valid"])
    return [verdict for verdict in records["identified"] if verdict in VERDICTS] if records else []
