"""How figures are put into words, the same in every table."""

from math import isnan

from bench.reports.blocks import DECIMALS, Cell
from bench.reports.stats import Stat

NO_DEFENSE = "no defense"
UNDEFINED = "–"
_WORD = {"not-applicable": "n/a", "undefined": UNDEFINED}


def word(cell: Cell) -> str:
    """The word for a cell that has no values."""
    return _WORD.get(cell.status, cell.status)


def percent(stat: Stat, *, pm: str = "±") -> str:
    """A share in per cent: "98.5", or "98.5±0.3" over several seeds; a dash where it is not defined."""
    if isnan(stat.mean):
        return UNDEFINED
    text = f"{100 * stat.mean:.{DECIMALS}f}"
    return text if isnan(stat.std) else f"{text}{pm}{100 * stat.std:.{DECIMALS}f}"


def tally(cell: Cell) -> str:
    """ "2/3" where not every seed (in the average row: not every attack) is done, else ""."""
    return f"{cell.done}/{cell.total}" if cell.done < cell.total else ""
