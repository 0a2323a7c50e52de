"""Tables for a terminal: attacks against defenses where they fit its width, else a line for each pair."""

from typing import TYPE_CHECKING

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from bench.reports.blocks import Block, blocks
from bench.reports.chosen import Shown
from bench.reports.format import NO_DEFENSE, UNDEFINED
from bench.reports.happened import plugin_messages
from bench.reports.identification import identification_table
from bench.reports.legend import legend
from bench.reports.records import BEFORE, HEADS
from bench.reports.rows import CellText, Row, rows
from bench.reports.side_table import SideTable
from bench.reports.side_tables import cost_table, detection_table

if TYPE_CHECKING:
    import pandas as pd

_BEST = "*"
_BOX = box.SIMPLE_HEAD
_NAMES = 16  # characters that attacks and defenses have at least
_PADDING = (0, 0, 0, 1)


def terminal_table(
    frame: "pd.DataFrame", width: int | None = None, *, with_invalid: bool = False, shown: Shown | None = None
) -> list[Table]:
    """The tables of each block of ``frame``: results, detection, identification, cost, and what the plugins said.

    A table with nothing to show is left out. ``width`` is in characters; by default that of the console.
    ``with_invalid``: attacks that did not work count in the averages too. ``shown``: which metrics, in which order.
    """
    width = width or Console().width
    tables = []
    for block in blocks(frame, with_invalid=with_invalid, shown=shown):
        texts = rows(block)
        wide = _wide(block, texts)
        fits = Console(width=10_000).measure(wide).maximum <= width
        tables.append(wide if fits else _long(block, texts, width))
        beside = [make(block) for make in (detection_table, identification_table, cost_table, plugin_messages)]
        tables += [_side_table(table) for table in beside if table.lines]
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
    caption = Text("\n".join(legend(block, best=_BEST)), justify="left", style="dim")
    title = Text(block.title, style="bold", justify="left")
    return Table(title=title, title_justify="left", caption=caption, box=_BOX, pad_edge=False, padding=_PADDING)


def _wide(block: Block, texts: list[Row]) -> Table:
    """Attacks as rows, a column for each defense, which holds its figures side by side under what it was given."""
    table = _results(block)
    table.add_column("attack", no_wrap=True)
    given = {name: group.heading for group in block.groups for name in group.defenses}
    bodies = []
    for index, defense in enumerate([None, *block.defenses]):
        cells = [row.cells[index] for row in texts]
        heads = list(HEADS.values()) if defense else [HEADS[metric] for metric in BEFORE]
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
    left out where it leaves no room for names.
    """
    several = len(block.groups) > 1
    given = "" if several or not block.groups else f", {block.groups[0].heading}"
    first_of = {group.defenses[0]: group.heading for group in block.groups}
    table = _results(block)
    table.add_column(Text(f"attack ({NO_DEFENSE})\n  defense{given}"), overflow="fold")
    shown = _fitting(texts, width)
    for index in shown:
        table.add_column(f"\n{list(HEADS.values())[index]}", justify="right", no_wrap=True)
    for row in texts:
        for cell in row.cells:
            if several and cell.defense in first_of:
                table.add_row(_indented(first_of[cell.defense], 1, "dim italic"))
            name = f"{cell.defense or row.heading} ({cell.tally})" if cell.tally else cell.defense or row.heading
            *figures, last = [_line(cell)[index] for index in shown]
            table.add_row(
                _indented(name, 2, "") if cell.defense else Text(name, style="bold"),
                *map(Text, figures),
                Text(last, style="bold" if cell.best else ""),
                end_section=cell is row.cells[-1],
            )
    return table


def _fitting(texts: list[Row], width: int) -> list[int]:
    """Which of the columns of figures there is room for, by their numbers."""
    lines = [_line(cell) for row in texts for cell in row.cells]
    needed = sum(2 + max(map(cell_len, column)) for column in zip(HEADS.values(), *lines, strict=True))
    return [index for index, metric in enumerate(HEADS) if metric != "acc_target" or needed + _NAMES <= width]


def _line(cell: CellText) -> list[str]:
    """A figure for every column, the last with room for a star."""
    figures = _figures(cell) + [UNDEFINED] * (len(HEADS) - len(cell.figures))
    return figures if cell.best else [*figures[:-1], f"{figures[-1]} "]


def _indented(text: str, by: int, style: str) -> Padding:
    """A text all of whose lines are indented."""
    return Padding(Text(text, style=style, overflow="fold"), (0, 0, 0, by))


def _figures(cell: CellText) -> list[str]:
    return [*cell.figures[:-1], cell.figures[-1] + _BEST] if cell.best else list(cell.figures)


def _side_by_side(cell: CellText, widths: list[int]) -> Text:
    if not cell.done:
        return Text(cell.word, style="dim")
    figures = _figures(cell)
    text = Text("  ".join(figure.rjust(width) for figure, width in zip(figures, widths, strict=True)))
    if cell.best:
        text.stylize("bold", len(text) - len(figures[-1]))
    return text.append(f" ({cell.tally})" if cell.tally else "", style="dim")
