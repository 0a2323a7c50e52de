"""How numbers and cells are put into words, the same in every table."""

from math import isnan

from bench.reports.blocks import DECIMALS, Cell
from bench.reports.records import NO_DEFENSE as NO_DEFENSE
from bench.reports.stats import Stat

UNDEFINED = "–"
_WORDS = {"not-applicable": "n/a", "undefined": UNDEFINED}


def word(cell: Cell) -> str:
    """The word for a cell that has no values."""
    return _WORDS.get(cell.status, cell.status)


def percent(stat: Stat) -> str:
    """A value in [0, 1] as a percentage: "98.5", or "98.5±0.3" over several seeds; a dash where it is NaN."""
    if isnan(stat.mean):
        return UNDEFINED
    text = f"{100 * stat.mean:.{DECIMALS}f}"
    return text if isnan(stat.std) else f"{text}±{100 * stat.std:.{DECIMALS}f}"


def tally(cell: Cell) -> str:
    """ "2/3" where not every seed (in the average row: of the attacks together) is done, else ""."""
    return f"{cell.done}/{cell.total}" if cell.done < cell.total else ""


def number(value: float) -> str:
    """A number with three significant digits and no exponent; a dash for NaN."""
    if isnan(value):
        return UNDEFINED
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"


def fixed(value: float, decimals: int) -> str:
    """A number with this many decimals; a dash for NaN."""
    return UNDEFINED if isnan(value) else f"{value:.{decimals}f}"
