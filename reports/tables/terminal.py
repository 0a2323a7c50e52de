"""Tables for a terminal: attacks against defenses where they fit its width, else a line for each pair."""

from typing import TYPE_CHECKING

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bench.reports.blocks import Block, blocks
from bench.reports.format import NO_DEFENSE, UNDEFINED
from bench.reports.happened import plugin_messages
from bench.reports.legend import legend
from bench.reports.rows import BEFORE, HEADS, CellText, Row, rows
from bench.reports.side_table import SideTable
from bench.reports.side_tables import cost_table, detection_table

if TYPE_CHECKING:
    import pandas as pd

_BEST = "*"


def terminal_table(frame: "pd.DataFrame", width: int | None = None, *, with_invalid: bool = False) -> list[Table]:
    """The tables of each block of records in ``frame``: results, detection, cost, and what the plugins said.

    A table with nothing to show is left out. ``width`` is in characters; by default that of the console.
    ``with_invalid``: attacks that did not work count in the averages too.
    """
    width = width or Console().width
    tables = []
    for block in blocks(frame, with_invalid=with_invalid):
        texts = rows(block)
        wide = _wide(block, texts)
        fits = Console(width=10_000).measure(wide).maximum <= width
        tables.append(wide if fits else _long(block, texts))
        beside = [detection_table(block), cost_table(block), plugin_messages(block)]
        tables += [_side_table(table) for table in beside if table.lines]
    return tables


def _side_table(side_table: SideTable) -> Table:
    """A table beside the results, under its title."""
    title = Text(f"\n{side_table.title}", style="dim", justify="left")
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 0, 0, 1))
    for index, head in enumerate(side_table.heads):
        table.add_column(head, justify="left" if index < side_table.texts else "right", overflow="fold")
    for line in side_table.lines:
        table.add_row(*map(Text, line))
    return table


def _results(block: Block) -> Table:
    """The table of the results, with its title and legend and no column yet."""
    caption = Text("\n".join(legend(block, best=_BEST)), justify="left", style="dim")
    title = Text(block.title, style="bold", justify="left")
    return Table(
        title=title, caption=caption, box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 0, 0, 1), title_justify="left"
    )


def _wide(block: Block, texts: list[Row]) -> Table:
    """Attacks as rows, a column for each defense, which holds its figures side by side."""
    table = _results(block)
    table.add_column("attack", no_wrap=True)
    bodies = []
    for index, defense in enumerate([None, *block.defenses]):
        cells = [row.cells[index] for row in texts]
        heads = [HEADS[metric] for metric in (HEADS if defense else BEFORE)]
        done = [_figures(cell) for cell in cells if cell.done]
        widths = [max(map(cell_len, column)) for column in zip(heads, *done, strict=True)]
        head = "  ".join(head.rjust(width) for head, width in zip(heads, widths, strict=True))
        table.add_column(Text(f"{defense or NO_DEFENSE}\n{head}", justify="left"), no_wrap=True)
        bodies.append([_side_by_side(cell, widths) for cell in cells])
    for row, *columns in zip(texts, *bodies, strict=True):
        table.add_row(Text(row.heading), *columns, end_section=row.attack == block.attacks[-1])
    return table


def _long(block: Block, texts: list[Row]) -> Table:
    """A line for each attack, with the undefended network's figures, and under it one for each defense."""
    table = _results(block)
    table.add_column(f"attack ({NO_DEFENSE})\n  defense", overflow="fold")
    for head in HEADS.values():
        table.add_column(f"\n{head}", justify="right", no_wrap=True)
    for row in texts:
        for cell in row.cells:
            name = row.heading if cell.defense is None else f"  {cell.defense}"
            name += f" ({cell.tally})" if cell.tally else ""
            figures = _figures(cell) + [UNDEFINED] * (len(HEADS) - len(cell.figures))
            table.add_row(
                Text(name, style="bold" if cell.defense is None else ""),
                *map(Text, figures[:-1]),
                Text(figures[-1] if cell.best else f"{figures[-1]} ", style="bold" if cell.best else ""),
                end_section=cell is row.cells[-1],
            )
    return table


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
