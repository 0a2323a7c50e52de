"""The figures of a block as the page lays them out: a matrix for each metric, and a line for each pair."""

from dataclasses import dataclass
from math import isnan

from bench.reports.blocks import DECIMALS, Block
from bench.reports.format import NO_DEFENSE, UNDEFINED
from bench.reports.records import HEADS
from bench.reports.rows import CellText, Row
from bench.reports.stats import Stat

SHADES = 10  # from 0, no shade, to the darkest
_FIRST = "der"  # the metric that a reader sees first, if it is shown
_LOWER_IS_BETTER = {"asr"}
_NOTHING = {"der": 0.5}  # the value that is as good as nothing; of others it is the worst that there is


@dataclass(frozen=True)
class Field:
    """One figure: its text in parts, such as "98.5", "0.3" and "2/3".

    ``interval`` is "97.9 to 98.8" or "". ``shade`` is in 0 to ``SHADES``, darker for better, None without a value.
    ``word`` stands in the place of a figure that there is not.
    """

    mean: str = ""
    spread: str = ""
    tally: str = ""
    interval: str = ""
    word: str = ""
    shade: int | None = None
    best: bool = False
    second: bool = False


@dataclass(frozen=True)
class Line:
    """The ``fields`` of a defense, or of a pair. ``attack`` and ``defense`` are places in the block's lists.

    ``defense`` is None for the undefended network. ``average``: over attacks.
    """

    attack: int | None
    defense: int | None
    attack_name: str
    defense_name: str
    given: str
    average: bool
    fields: list[Field]


@dataclass(frozen=True)
class Matrix:
    """One ``metric``, defenses by attacks: ``undefended`` is the line of the network without a defense."""

    metric: int
    head: str
    first: bool
    scale: str
    undefended: Line
    lines: list[Line]


def matrices(block: Block, rows: list[Row]) -> list[Matrix]:
    """A matrix for each of the block's metrics, in their order; a line has a field for each of ``rows``."""
    first = _FIRST if _FIRST in block.metrics else block.metrics[0]
    given = _given(block)
    made = []
    for number, metric in enumerate(block.metrics):
        lines = [
            Line(
                None,
                None if at == 0 else at - 1,
                "",
                block.defenses[at - 1] if at else NO_DEFENSE,
                given[block.defenses[at - 1]] if at else "",
                False,
                [_field(block, row.attack, row.cells[at], metric) for row in rows],
            )
            for at in range(len(block.defenses) + 1)
        ]
        made.append(Matrix(number, HEADS[metric], metric == first, _scale(metric), lines[0], lines[1:]))
    return made


def pairs(block: Block, rows: list[Row]) -> list[Line]:
    """A line for each attack and defense, with a field for each of the block's metrics.

    They stand by attacks, or by defenses where the block has its defenses as rows.
    """
    given = _given(block)
    found = []
    for number, row in enumerate(rows):
        for at, cell in enumerate(row.cells):
            name = block.defenses[at - 1] if at else NO_DEFENSE
            defense = None if at == 0 else at - 1
            fields = [_field(block, row.attack, cell, metric) for metric in block.metrics]
            attack = None if row.average else number
            found.append(Line(attack, defense, row.heading, name, given.get(name, ""), row.average, fields))
    across = len(block.defenses) + 1
    return [line for at in range(across) for line in found[at::across]] if block.defenses_as_rows else found


def _given(block: Block) -> dict[str, str]:
    return {name: group.given or "not recorded" for group in block.groups for name in group.defenses}


def _field(block: Block, attack: str, cell: CellText, metric: str) -> Field:
    """A figure of a cell, as text from ``cell`` and in numbers from the block."""
    shown = block.metrics_before if cell.defense is None else block.metrics
    if not cell.done:
        return Field(word=cell.word)
    if metric not in shown:
        return Field(word=UNDEFINED)
    place = shown.index(metric)
    mean, _, spread = cell.figures[place].partition("±")
    stat = block.cell(attack, cell.defense).stat(metric)
    ranked = cell.ranked is not None and place == cell.ranked
    return Field(
        mean, spread, cell.tally, _interval(stat), "", _shade(stat.mean, metric), cell.best and ranked,
        cell.second and ranked,
    )  # fmt: skip


def _interval(stat: Stat) -> str:
    """The bounds of a mean's 95 % interval in per cent; "" where there is none."""
    if isnan(stat.low) or isnan(stat.high):
        return ""
    return f"{100 * stat.low:.{DECIMALS}f} to {100 * stat.high:.{DECIMALS}f}"


def _shade(value: float, metric: str) -> int | None:
    """How dark a field is: on a scale that is the same in every report, so that small differences look small."""
    if isnan(value):
        return None
    nothing = _NOTHING.get(metric, 0.0)
    good = 1 - value if metric in _LOWER_IS_BETTER else (value - nothing) / (1 - nothing)
    return round(SHADES * min(1.0, max(0.0, good)))


def _scale(metric: str) -> str:
    """How the shades of a metric are to be read."""
    if metric in _LOWER_IS_BETTER:
        return "Lower is better: darkest at 0, no shade at 100"
    return f"Higher is better: darkest at 100, no shade at {100 * _NOTHING.get(metric, 0.0):.0f}"
