"""The figures of a block as the page lays them out: a matrix for each metric, and a line for each pair."""

from dataclasses import dataclass
from math import isnan

from bench.reports.blocks import DECIMALS, Block
from bench.reports.format import NO_DEFENSE, UNDEFINED
from bench.reports.records import HEADS, LOWER_IS_BETTER, RANKED
from bench.reports.rows import CellText, Row
from bench.reports.stats import Stat

SHADES = 10  # from 0, no shade, to the darkest
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
class Column:
    """A column of a matrix: an attack at its ``place`` among the rows of the block, or the average, which has none."""

    heading: str
    place: int | None


@dataclass(frozen=True)
class Line:
    """The ``fields`` of a defense, one a column, or of a pair, one a metric.

    ``attack`` and ``defense`` are places in the block's lists. ``attack`` is None for the average, ``defense`` for the
    undefended network. ``heading`` is the attack's, "" in a matrix.
    """

    heading: str
    attack: int | None
    name: str
    defense: int | None
    given: str
    fields: list[Field]


@dataclass(frozen=True)
class Matrix:
    """One metric, defenses by attacks: ``head`` its heading, ``scale`` how its shades are to be read.

    ``undefended`` is the line of the network without a defense. ``first``: what a reader sees first.
    """

    head: str
    scale: str
    first: bool
    undefended: Line
    lines: list[Line]


@dataclass(frozen=True)
class Grid:
    """The figures of a block: a matrix for each metric, and ``pairs``, a line for each attack and defense.

    The pairs stand by attacks, or ``by_defense`` where the block has its defenses as rows; ``averages`` are those of
    the average.
    """

    columns: list[Column]
    matrices: list[Matrix]
    pairs: list[Line]
    averages: list[Line]
    by_defense: bool = False


def grid(block: Block, rows: list[Row]) -> Grid:
    """The figures of a block in both forms. In a matrix the average stands first, beside the names."""
    fields = [[_fields(block, row.attack, cell) for cell in row.cells] for row in rows]
    across = sorted(range(len(rows)), key=lambda place: not rows[place].average)
    columns = [Column(rows[place].heading, _place(rows, place)) for place in across]
    names = _names(block)
    first = RANKED if RANKED in block.metrics else block.metrics[0]
    matrices = []
    for number, metric in enumerate(block.metrics):
        lines = [
            Line("", None, name, defense, given, [fields[place][at][number] for place in across])
            for at, (name, defense, given) in enumerate(names)
        ]
        matrices.append(Matrix(HEADS[metric], _scale(metric), metric == first, lines[0], lines[1:]))
    pairs = [
        Line(row.heading, _place(rows, place), name, defense, given, fields[place][at])
        for place, row in enumerate(rows)
        for at, (name, defense, given) in enumerate(names)
    ]
    if block.defenses_as_rows:
        pairs = [line for at in range(len(names)) for line in pairs[at :: len(names)]]
    averages = [line for line in pairs if line.attack is None]
    of_attacks = [line for line in pairs if line.attack is not None]
    return Grid(columns, matrices, of_attacks, averages, block.defenses_as_rows)


def _place(rows: list[Row], place: int) -> int | None:
    return None if rows[place].average else place


def _names(block: Block) -> list[tuple[str, int | None, str]]:
    """Name, place and what was given, of the undefended network and of each defense."""
    given = {name: group.given or "not recorded" for group in block.groups for name in group.defenses}
    return [(NO_DEFENSE, None, ""), *((name, place, given[name]) for place, name in enumerate(block.defenses))]


def _fields(block: Block, attack: str, cell: CellText) -> list[Field]:
    """A field for each of the block's metrics."""
    return [_field(block, attack, cell, metric) for metric in block.metrics]


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
    good = 1 - value if metric in LOWER_IS_BETTER else (value - nothing) / (1 - nothing)
    return round(SHADES * min(1.0, max(0.0, good)))


def _scale(metric: str) -> str:
    """How the shades of a metric are to be read."""
    if metric in LOWER_IS_BETTER:
        return "Lower is better: darkest at 0, no shade at 100"
    return f"Higher is better: darkest at 100, no shade at {100 * _NOTHING.get(metric, 0.0):.0f}"
