"""Tables for a terminal: attacks against defenses where they fit its width, else a line for each pair.

A block of many pairs is shown as a matrix of one metric (``bench.reports.tables.matrix``), unless the long form is
asked for.
"""

from typing import TYPE_CHECKING

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from bench.records.outcomes import OutcomesOf
from bench.reports.blocks import Block, blocks
from bench.reports.chosen import Shown
from bench.reports.format import NO_DEFENSE, UNDEFINED
from bench.reports.happened import plugin_messages
from bench.reports.identification import identification_table
from bench.reports.legend import legend
from bench.reports.records import METRICS, RANKED
from bench.reports.rows import CellText, Row, rows
from bench.reports.side_table import SideTable
from bench.reports.side_tables import cost_table, detection_table
from bench.reports.tables.matrix import BEST, matrices

if TYPE_CHECKING:
    import pandas as pd

MOST_PAIRS = 40  # of an attack and a defense, that are shown with all their metrics
MOST_LINES = 20  # of a table beside a matrix
_BOX = box.SIMPLE_HEAD
_NAMES = 16  # characters that attacks and defenses have at least
_PADDING = (0, 0, 0, 1)


def terminal_table(
    frame: "pd.DataFrame",
    width: int | None = None,
    *,
    with_invalid: bool = False,
    long: bool = False,
    outcomes: OutcomesOf | None = None,
    shown: Shown | None = None,
) -> list[Table]:
    """The tables of each block of ``frame``: results, detection, identification, cost, and what the plugins said.

    A table with nothing to show is left out. ``width`` is in characters; by default that of the console.
    ``with_invalid``: attacks that did not work count in the averages too. ``long``: every metric of every pair, however
    many there are. ``outcomes`` gives what became of every test image: with it what cannot be told from the best is
    marked too, as in a report. ``shown``: which metrics, in which order.
    """
    width = width or Console().width
    tables: list[Table] = []
    for block in blocks(frame, with_invalid=with_invalid, outcomes=outcomes, shown=shown):
        beside = [make(block) for make in (detection_table, identification_table, cost_table, plugin_messages)]
        beside = [table for table in beside if table.lines]
        if long or len(block.attacks) * len(block.defenses) <= MOST_PAIRS:
            tables.append(_full(block, width))
        else:
            too_long = [table for table in beside if len(table.lines) > MOST_LINES]
            tables += _compact(block, width, too_long)
            beside = [table for table in beside if len(table.lines) <= MOST_LINES]
        tables += map(_side_table, beside)
    return tables


def _full(block: Block, width: int) -> Table:
    """Every metric of every pair."""
    texts = rows(block)
    wide = _wide(block, texts)
    fits = Console(width=10_000).measure(wide).maximum <= width
    return wide if fits else _long(block, texts, width)


def _compact(block: Block, width: int, left_out: list[SideTable]) -> list[Table]:
    """The block as a matrix, under its title; ``left_out``: the tables that are too long to stand beside it."""
    tables, told = matrices(block, width)
    names = [f"{table.title.partition(',')[0]} ({len(table.lines)} lines)" for table in left_out]
    more = f"--long shows all metrics of every pair{', and the tables left out here: ' if names else ''}"
    notes = [*told, f"{more}{', '.join(names)}."]
    tables[0].title = Text(block.title, style="bold", justify="left")
    tables[-1].caption = Text("\n".join([*notes, *legend(block, best=BEST)]), justify="left", style="dim")
    for table in tables:
        table.title_justify = "left"
    return tables


def _side_table(side_table: SideTable) -> Table:
    """A table beside the results, under its title."""
    title = Text(f"\n{side_table.title}", style="dim", justify="left")
    note = Text(side_table.note, style="dim", justify="left") if side_table.note else None
    table = Table(title=title, title_justify="left", caption=note, box=_BOX, pad_edge=False, padding=_PADDING)
    for index, head in enumerate(side_table.heads):
        table.add_column(Text(head), justify="left" if index < side_table.texts else "right", overflow="fold")
    for line in side_table.lines:
        table.add_row(*map(Text, line))
    return table


def _results(block: Block) -> Table:
    """The table of the results, with its title and legend and no column yet."""
    caption = Text("\n".join(legend(block, best=BEST)), justify="left", style="dim")
    title = Text(block.title, style="bold", justify="left")
    return Table(title=title, title_justify="left", caption=caption, box=_BOX, pad_edge=False, padding=_PADDING)


def _wide(block: Block, texts: list[Row]) -> Table:
    """Attacks as rows, a column for each defense, which holds its figures side by side under what it was given."""
    table = _results(block)
    table.add_column("attack", no_wrap=True)
    given = {name: group.heading for group in block.groups for name in group.defenses}
    bodies = []
    for index, defense in enumerate([None, *block.defenses]):
        heads = block.heads if defense else block.heads_before
        if not heads:
            continue
        cells = [row.cells[index] for row in texts]
        done = [_figures(cell) for cell in cells if cell.done]
        widths = [max(map(cell_len, column)) for column in zip(heads, *done, strict=True)]
        head = "  ".join(head.rjust(width) for head, width in zip(heads, widths, strict=True))
        top = f"{defense}\n{given[defense]}" if defense else f"{NO_DEFENSE}\n"
        table.add_column(Text(f"{top}\n{head}", justify="left"), no_wrap=True)
        bodies.append([_side_by_side(cell, widths) for cell in cells])
    for row, *columns in zip(texts, *bodies, strict=True):
        table.add_row(Text(row.heading), *columns, end_section=row.attack == block.attacks[-1])
    return table


def _long(block: Block, texts: list[Row], width: int) -> Table:
    """A line for each attack, with the undefended network's figures, and under it one for each defense.

    A thin heading stands above the defenses that were given the same; where all were, in the table's head. ACC(t) is
    left out where it leaves no room for names, unless the metrics were chosen.
    """
    several = len(block.groups) > 1
    given = "" if several or not block.groups else f", {block.groups[0].heading}"
    first_of = {group.defenses[0]: group.heading for group in block.groups}
    table = _results(block)
    table.add_column(Text(f"attack ({NO_DEFENSE})\n  defense{given}"), overflow="fold")
    shown = _fitting(block, texts, width)
    for index in shown:
        table.add_column(f"\n{block.heads[index]}", justify="right", no_wrap=True)
    for row in texts:
        for cell in row.cells:
            if several and cell.defense in first_of:
                table.add_row(_indented(first_of[cell.defense], 1, "dim italic"))
            name = f"{cell.defense or row.heading} ({cell.tally})" if cell.tally else cell.defense or row.heading
            line = _line(block, cell)
            table.add_row(
                _indented(name, 2, "") if cell.defense else Text(name, style="bold"),
                *(line[index] for index in shown),
                end_section=cell is row.cells[-1],
            )
    return table


def _fitting(block: Block, texts: list[Row], width: int) -> list[int]:
    """Which of the columns of figures there is room for, by their numbers."""
    everything = list(range(len(block.metrics)))
    if set(block.metrics) != set(METRICS):
        return everything
    lines = [[text.plain for text in _line(block, cell)] for row in texts for cell in row.cells]
    needed = sum(2 + max(map(cell_len, column)) for column in zip(block.heads, *lines, strict=True))
    return [index for index in everything if block.metrics[index] != "acc_target" or needed + _NAMES <= width]


def _line(block: Block, cell: CellText) -> list[Text]:
    """A figure for every column, that of DER with room for a star."""
    own = block.metrics if cell.defense else block.metrics_before
    figures = dict(zip(own, _figures(cell), strict=False))
    texts = {metric: figures.get(metric, UNDEFINED) for metric in block.metrics}
    if not cell.done and not own:
        texts[block.metrics[0]] = cell.word
    if RANKED in texts and not cell.best:
        texts[RANKED] += " "
    return [Text(text, style=_style(cell) if metric == RANKED else "") for metric, text in texts.items()]


def _style(cell: CellText) -> str:
    """Of DER: bold for the best, underlined for the second best."""
    return "bold" if cell.best else "underline" if cell.second else ""


def _indented(text: str, by: int, style: str) -> Padding:
    """A text all of whose lines are indented."""
    return Padding(Text(text, style=style, overflow="fold"), (0, 0, 0, by))


def _figures(cell: CellText) -> list[str]:
    """The figures with a star at the best DER."""
    return [f"{figure}{BEST}" if cell.best and at == cell.ranked else figure for at, figure in enumerate(cell.figures)]


def _side_by_side(cell: CellText, widths: list[int]) -> Text:
    if not cell.done:
        return Text(cell.word, style="dim")
    padded = [figure.rjust(width) for figure, width in zip(_figures(cell), widths, strict=True)]
    parts = [Text(text, style=_style(cell) if at == cell.ranked else "") for at, text in enumerate(padded)]
    return Text("  ").join(parts).append(f" ({cell.tally})" if cell.tally else "", style="dim")
