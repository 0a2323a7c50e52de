"""The table of the 95 % intervals, a line for each attack and defense."""

from math import isnan

from bench.reports.blocks import Block
from bench.reports.format import NO_DEFENSE, UNDEFINED, tally
from bench.reports.side_table import SideTable
from bench.reports.stats import Stat
from bench.reports.uncertainty.told import how_made


def interval_table(block: Block) -> SideTable:
    """Every figure of the main table that has an interval, in %; attacks as in the main table, then the average."""
    lines = []
    for attack in block.row_names:
        for defense in (None, *block.defenses):
            cell = block.cell(attack, defense)
            stats = [cell.stat(metric) for metric in block.metrics]
            if cell.status == "done" and not all(isnan(stat.low) for stat in stats):
                name = f"{defense or NO_DEFENSE} ({tally(cell)})" if tally(cell) else defense or NO_DEFENSE
                lines.append([block.marked(attack), name, *map(_text, stats)])
    heads = ["attack", "defense", *block.heads]
    return SideTable("95 % intervals, in %", heads, lines, 2, " ".join(how_made(block)))


def _text(stat: Stat) -> str:
    return UNDEFINED if isnan(stat.low) else f"{100 * stat.low:.1f}–{100 * stat.high:.1f}"
