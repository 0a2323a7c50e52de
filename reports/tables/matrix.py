"""The compact table of a large block for a terminal: one metric, defenses as rows by their average, attacks as columns.

A matrix that is wider than the terminal is split into several, each with the defenses' names and averages.
"""

from math import isnan, nan

from rich import box
from rich.cells import cell_len, set_cell_size
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from bench.reports.blocks import AVERAGE, Block
from bench.reports.format import NO_DEFENSE, UNDEFINED, percent, tally, word
from bench.reports.records import HEADS, RANKED
from bench.reports.rows import cell_text
from bench.reports.stats import Stat

BEST = "*"
SHORTEST, NAMES = 8, 16  # cells that the heading of an attack and the names of defenses have at least
_BETWEEN, _EDGES = 2, 2  # cells between two columns, and at both sides


def shown_metric(block: Block) -> str:
    """The metric that a matrix of this block shows."""
    return RANKED if RANKED in block.metrics else block.metrics[0]


def matrices(block: Block, width: int) -> tuple[list[Table], list[str]]:
    """The block as tables of at most ``width`` cells, without title or caption; and what a reader must know of them."""
    metric = shown_metric(block)
    columns = _columns(block, metric)
    defenses = _names(block, metric)
    bodies = {name: [_cell(block, name, defense, metric) for defense in defenses] for name in columns}
    widest = {name: max([cell_len(text.plain) for text in body], default=1) for name, body in bodies.items()}
    names = min(max(map(cell_len, [*block.defenses, NO_DEFENSE])) + 2, max(NAMES, width // 3))
    heads = {name: block.marked(name) for name in columns}
    room = width - _EDGES - names
    if sum(_BETWEEN + max(widest[name], cell_len(heads[name])) for name in columns) > room:
        heads = _shortened(heads, max(SHORTEST, *widest.values()) if widest else SHORTEST)
    sizes = {name: max(widest[name], cell_len(heads[name])) for name in columns}
    parts = _parts(columns, sizes, room)
    tables = [_table(block, metric, defenses, part, heads, bodies, names) for part in parts]
    return tables, _told(block, metric, heads, len(parts))


def _columns(block: Block, metric: str) -> list[str]:
    """The average, and the attacks for which the metric is defined or something is to be said."""
    attacks = [name for name in block.row_names if name != AVERAGE]
    shown = [name for name in attacks if any(_says_something(block, name, one, metric) for one in block.defenses)]
    return [*([AVERAGE] if AVERAGE in block.row_names else []), *(shown or attacks)]


def _says_something(block: Block, attack: str, defense: str, metric: str) -> bool:
    cell = block.cell(attack, defense)
    return cell.status not in ("done", "not-applicable") or not isnan(cell.stat(metric).mean)


def _names(block: Block, metric: str) -> list[str | None]:
    """The defenses in their groups, in each by the average, the best first; before them the undefended network.

    An average over fewer attacks than others is not compared with theirs: its defense comes after them.
    """
    of = AVERAGE if AVERAGE in block.row_names else _columns(block, metric)[0]

    def place(name: str) -> tuple[bool, bool, float]:
        return block.cell(of, name).place(metric)

    before: list[str | None] = [None] if metric in block.metrics_before else []
    return before + [name for group in block.groups for name in sorted(group.defenses, key=place)]


def _cell(block: Block, attack: str, defense: str | None, metric: str) -> Text:
    """The mean alone: its spread is in the long form."""
    cell = block.cell(attack, defense)
    if cell.status != "done":
        return Text(word(cell), style="dim")
    mean = cell.stat(metric).mean
    figure = percent(Stat(mean, nan, 1))
    marks = cell_text(block, attack, defense) if defense and metric == RANKED else None
    best, second = marks is not None and marks.best, marks is not None and marks.second
    text = Text(f"{figure}{BEST if best else ' '}", style="bold" if best else "underline" if second else "")
    return text.append(f"({told})" if (told := tally(cell)) else "", style="dim")


def _shortened(heads: dict[str, str], longest: int) -> dict[str, str]:
    """Headings of at most ``longest`` cells that are told apart: the beginning, and a number where that is not enough.

    The number may make one a little longer.
    """
    short = {name: head if cell_len(head) <= longest else f"{_cut(head, longest - 1)}…" for name, head in heads.items()}
    taken: set[str] = set()
    for name, head in short.items():
        number, unique = 2, head
        while unique in taken:
            ending = f"…{number}"
            unique, number = f"{_cut(head.rstrip('…'), longest - len(ending))}{ending}", number + 1
        short[name] = unique
        taken.add(unique)
    return short


def _cut(text: str, cells: int) -> str:
    return set_cell_size(text, min(cells, cell_len(text))).rstrip()


def _parts(columns: list[str], sizes: dict[str, int], room: int) -> list[list[str]]:
    """The columns in as many parts as the room asks for, each with the average first."""
    first = [name for name in columns if name == AVERAGE]
    used = sum(_BETWEEN + sizes[name] for name in first)
    parts, left = [list(first)], room - used
    for name in columns[len(first) :]:
        needed = _BETWEEN + sizes[name]
        if needed > left and len(parts[-1]) > len(first):
            parts.append(list(first))
            left = room - used
        parts[-1].append(name)
        left -= needed
    return parts


def _table(
    block: Block,
    metric: str,
    defenses: list[str | None],
    columns: list[str],
    heads: dict[str, str],
    bodies: dict[str, list[Text]],
    names: int,
) -> Table:
    several = len(block.groups) > 1
    first_of = {
        next(name for name in defenses if name in group.defenses): group.heading for group in block.groups if several
    }
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 0, 0, 1))
    given = f" ({block.groups[0].heading})" if len(block.groups) == 1 else ""
    table.add_column(Text(f"{HEADS[metric]} in %{given}"), overflow="fold", width=names)
    for name in columns:
        table.add_column(Text(heads[name]), justify="right", no_wrap=True)
    for index, defense in enumerate(defenses):
        if defense in first_of:
            table.add_row(Padding(Text(first_of[defense], style="dim italic", overflow="fold"), (0, 0, 0, 0)))
        shown = Text(defense or NO_DEFENSE, style="" if defense else "bold", overflow="fold")
        table.add_row(Padding(shown, (0, 0, 0, 1)), *(bodies[name][index] for name in columns))
    return table


def _told(block: Block, metric: str, heads: dict[str, str], parts: int) -> list[str]:
    lines = [f"{len(block.attacks)} attacks × {len(block.defenses)} defenses, {HEADS[metric]} alone"]
    lines[0] += ", defenses by their average." if AVERAGE in block.row_names else "."
    if len(block.seeds) > 1:
        lines.append("Means over the seeds.")
    if parts > 1:
        lines.append(f"In {parts} parts, for the width of the terminal.")
    short = [f"{head} {block.marked(name)}" for name, head in heads.items() if head != block.marked(name)]
    if short:
        lines.append(f"Shortened: {', '.join(short)}.")
    left_out = [name for name in block.attacks if name not in heads]
    if left_out:
        lines.append(f"Without a value of {HEADS[metric]} ({UNDEFINED}), and left out: {', '.join(left_out)}.")
    return lines
