"""The main table in LaTeX, either way round: the figures of every attack against every defense."""

from math import isnan

from bench.reports.blocks import DECIMALS, Block
from bench.reports.format import NO_DEFENSE, UNDEFINED
from bench.reports.names.titles import DisplayNames
from bench.reports.rows import CellText, Row
from bench.reports.sections import Section
from bench.reports.stats import Stat
from bench.reports.tables.latex_grid import Grid, Group, Line
from bench.reports.tables.latex_text import Ink, figure, with_below

BESIDE, BELOW, INTERVALS = "beside", "below", "intervals"


def results_grid(section: Section, names: DisplayNames, spread: str = BESIDE) -> Grid:
    """The block's ``metrics`` of every attack and defense, attacks as rows unless the block wants the defenses so.

    The best is bold, the second best underlined. ``spread``: where the standard deviation of each mean is, BESIDE or
    BELOW it; with INTERVALS the 95 % interval of the mean, where there is one, is below it instead.
    """
    of = _Figures(section.block, spread)
    return _by_defense(section, names, of) if section.block.defenses_as_rows else _by_attack(section, names, of)


def has_intervals(block: Block) -> bool:
    """Whether there is an interval of any figure of the table."""
    cells = [*block.cells.values(), *block.before.values()]
    return any(not isnan(cell.stat(metric).low) for cell in cells for metric in block.metrics)


class _Figures:
    """The figures of cells in LaTeX."""

    def __init__(self, block: Block, spread: str) -> None:
        self._block, self._spread = block, spread

    def of(self, row: Row, cell: CellText, metrics: tuple[str, ...]) -> list[Ink] | str:
        """A figure for each of ``metrics``; a dash where the network has none. A word for a cell that is not done."""
        if not cell.done:
            return cell.word
        own = self._block.metrics if cell.defense else self._block.metrics_before
        figures = dict(zip(own, cell.figures, strict=True))
        ranked = own[cell.ranked] if cell.ranked is not None else None
        made = []
        for index, metric in enumerate(metrics):
            text, bounds = figures.get(metric, UNDEFINED), ""
            if self._spread == INTERVALS:
                text, bounds = (
                    text.partition("±")[0],
                    _interval(self._block.cell(row.attack, cell.defense).stat(metric)),
                )
            one = figure(
                text,
                best=cell.best and metric == ranked,
                second=cell.second and metric == ranked,
                tally=cell.tally if index == 0 else "",
                below=self._spread == BELOW,
            )
            made.append(with_below(one, bounds) if bounds else one)
        return made


def _by_attack(section: Section, names: DisplayNames, figures: _Figures) -> Grid:
    """Attacks as rows, the undefended network, if it has any of the figures, and then the defenses side by side."""
    block = section.block
    given = {name: group.heading for group in block.groups for name in group.defenses}
    before = bool(block.heads_before)
    groups = [Group(block.heads_before, ["", NO_DEFENSE])] * before
    groups += [Group(block.heads, [given[name], names.defense(name)]) for name in block.defenses]
    lines = [
        Line(
            [names.attack(row.heading)],
            [
                figures.of(row, cell, block.metrics if cell.defense else block.metrics_before)
                for cell in row.cells
                if cell.defense or before
            ],
            rule=row.average,
        )
        for row in section.rows
    ]
    return Grid(["Attack"], groups, lines)


def _by_defense(section: Section, names: DisplayNames, figures: _Figures) -> Grid:
    """Defenses as rows, under what they were given; the attacks and their average side by side."""
    block = section.block
    groups = [Group(block.heads, [names.attack(row.heading)]) for row in section.rows]

    def line(place: int, name: str) -> Line:
        return Line([name], [figures.of(row, row.cells[place], block.metrics) for row in section.rows])

    lines, place = [line(0, NO_DEFENSE)], 1
    for group in block.groups:
        lines.append(Line([], [], rule=True, banner=group.heading))
        for name in group.defenses:
            lines.append(line(place, names.defense(name)))
            place += 1
    return Grid(["Defense"], groups, lines)


def _interval(stat: Stat) -> str:
    """The bounds of a mean's interval in %; "" where there is none."""
    if isnan(stat.low) or isnan(stat.high):
        return ""
    return f"{100 * stat.low:.{DECIMALS}f}–{100 * stat.high:.{DECIMALS}f}"
