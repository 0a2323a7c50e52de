"""Tables for a terminal: attacks against defenses where they fit its width, else a line for each pair."""

from typing import TYPE_CHECKING

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bench.reports.blocks import Block, Cell, blocks
from bench.reports.format import NO_DEFENSE, UNDEFINED, percent, tally, word
from bench.reports.legend import legend
from bench.reports.side_tables import Extra, costs, detection

if TYPE_CHECKING:
    import pandas as pd

_HEADS = {"acc": "ACC", "asr": "ASR", "ra": "RA", "der": "DER"}
_BEST = "*"


def terminal_table(frame: "pd.DataFrame", width: int | None = None, *, with_invalid: bool = False) -> list[Table]:
    """The tables of a data set and model: results, detection where inputs are judged, knowledge and cost.

    ``width`` is the room in characters; by default that of the console. ``with_invalid``: attacks that had not worked
    count in the averages too.
    """
    room = width or Console().width
    tables = []
    for block in blocks(frame, with_invalid=with_invalid):
        wide = _wide(block)
        fits = Console(width=10_000).measure(wide).maximum <= room
        tables.append(wide if fits else _long(block))
        tables += [_plain(extra) for extra in (detection(block), costs(block)) if extra.lines]
    return tables


def _plain(extra: Extra) -> Table:
    """A table beside the results, under its title."""
    title = Text(f"\n{extra.title}", style="dim", justify="left")
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 0, 0, 1))
    for place, head in enumerate(extra.heads):
        table.add_column(head, justify="left" if place < extra.texts else "right", overflow="fold")
    for line in extra.lines:
        table.add_row(*map(Text, line))
    return table


def _table(block: Block) -> Table:
    caption = Text("\n".join(legend(block, best=_BEST)), justify="left", style="dim")
    title = Text(block.title, style="bold", justify="left")
    return Table(
        title=title, caption=caption, box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 0, 0, 1), title_justify="left"
    )


def _wide(block: Block) -> Table:
    """Attacks as rows, a column for each defense, which holds its figures side by side."""
    table = _table(block)
    table.add_column("attack", no_wrap=True)
    columns = {None: ["acc", "asr", "ra"]} | {name: list(_HEADS) for name in block.defenses}
    bodies = []
    for defense, metrics in columns.items():
        texts = {attack: _figures(block, attack, defense) for attack in block.lines}
        done = [row for attack, row in texts.items() if _cell(block, attack, defense).status == "done"]
        widths = [max(map(cell_len, column)) for column in zip(*done, [_HEADS[m] for m in metrics], strict=True)]
        head = "  ".join(_HEADS[m].rjust(w) for m, w in zip(metrics, widths, strict=True))
        table.add_column(Text(f"{defense or NO_DEFENSE}\n{head}", justify="left"), no_wrap=True)
        bodies.append({attack: _joined(block, attack, defense, texts[attack], widths) for attack in block.lines})
    for place, attack in enumerate(block.lines):
        last_attack = place == len(block.attacks) - 1
        table.add_row(Text(block.marked(attack)), *(body[attack] for body in bodies), end_section=last_attack)
    return table


def _long(block: Block) -> Table:
    """A line for each attack, with the undefended network's figures, and under it one for each defense."""
    table = _table(block)
    table.add_column(f"attack ({NO_DEFENSE})\n  defense", overflow="fold")
    for metric in _HEADS.values():
        table.add_column(f"\n{metric}", justify="right", no_wrap=True)
    for attack in block.lines:
        for defense in [None, *block.defenses]:
            figures = _figures(block, attack, defense)
            figures += [UNDEFINED] * (len(_HEADS) - len(figures))
            best = defense in block.best(attack)
            name = block.marked(attack) if defense is None else f"  {defense}"
            table.add_row(
                Text(f"{name} {_tally(block, attack, defense)}".rstrip(), style="bold" if defense is None else ""),
                *map(Text, figures[:-1]),
                Text(figures[-1] if best else f"{figures[-1]} ", style="bold" if best else ""),
                end_section=defense == [None, *block.defenses][-1],
            )
    return table


def _cell(block: Block, attack: str, defense: str | None) -> Cell:
    return block.before[attack] if defense is None else block.cells[attack, defense]


def _figures(block: Block, attack: str, defense: str | None) -> list[str]:
    """The texts of a cell, one a metric; of a cell that is not done, its word and dashes."""
    cell, metrics = _cell(block, attack, defense), list(_HEADS)[: 3 if defense is None else 4]
    if cell.status != "done":
        return [word(cell), *[UNDEFINED] * (len(metrics) - 1)]
    figures = [percent(cell.stat(metric)) for metric in metrics]
    if defense in block.best(attack):
        figures[-1] += _BEST
    return figures


def _tally(block: Block, attack: str, defense: str | None) -> str:
    cell = _cell(block, attack, defense)
    return f"({tally(cell)})" if cell.status == "done" and tally(cell) else ""


def _joined(block: Block, attack: str, defense: str | None, figures: list[str], widths: list[int]) -> Text:
    if _cell(block, attack, defense).status != "done":
        return Text(figures[0], style="dim")
    text = Text("  ".join(figure.rjust(width) for figure, width in zip(figures, widths, strict=True)))
    if defense in block.best(attack):
        text.stylize("bold", len(text) - len(figures[-1]))
    return text.append(f" {_tally(block, attack, defense)}".rstrip(), style="dim")
