"""Tables in Markdown, aligned so that they read as plain text too."""

import re
from collections.abc import Sequence

from rich.cells import cell_len

from bench.reports.blocks import Block
from bench.reports.format import NO_DEFENSE, UNDEFINED
from bench.reports.legend import legend
from bench.reports.rows import CellText, Row
from bench.reports.sections import Section
from bench.reports.side_table import SideTable

BEST, SECOND = "**", "*"  # around the best and the second best: Markdown has no underline that is shown everywhere

_NOTHING = "<!-- -->"  # not seen, but what stands on both sides of it is no longer one word
_LINKING = re.compile(  # addresses, people, issues and smileys, which are found in a text after it was escaped
    r":(?=/)|@|www(?=\.)|#(?=\d)|GH-(?=\d)|:(?=[\w+\\-]+:)", re.IGNORECASE
)


def markdown(sections: list[Section]) -> str:
    """Every section: a line for each attack and defense, the legend, the tables beside it, and what went wrong."""
    return "\n".join(_section(section) for section in sections)


def escape_markdown(text: str) -> str:
    """``text`` so that Markdown shows it as it is, on one line, and GitHub links nothing of it and calls nobody."""
    plain = re.sub(r"([\\`*_\[\]|~#$])", r"\\\1", " ".join(text.split())).replace("&", "&amp;").replace("<", "&lt;")
    return _LINKING.sub(rf"\g<0>{_NOTHING}", plain)


def _section(section: Section) -> str:
    block = section.block
    given = {name: group.given or "not recorded" for group in block.groups for name in group.defenses}
    pairs = [(row, cell) for row in section.rows for cell in row.cells]
    if block.defenses_as_rows:
        pairs = [(row, row.cells[place]) for place in range(len(block.defenses) + 1) for row in section.rows]
    results = [_ordered(block, _line(block, row, cell, given)) for row, cell in pairs]
    heads = _ordered(block, ["attack", "defense", "given", *block.heads])
    lines = [f"## {escape_markdown(block.title)}", "", *_grid(heads, results, 3), ""]
    lines += [f"- {escape_markdown(text)}" for text in legend(block, best="Bold", second="Italics")]
    for table in [*section.side_tables, section.unfinished, section.messages]:
        lines += _side_table(table)
    return "\n".join([*lines, ""])


def _line(block: Block, row: Row, cell: CellText, given: dict[str, str]) -> list[str]:
    name, known = (cell.defense, given[cell.defense]) if cell.defense else (NO_DEFENSE, UNDEFINED)
    return [*map(escape_markdown, (row.heading, name, known)), *_figures(block, cell)]


def _figures(block: Block, cell: CellText) -> list[str]:
    """A text for each of the block's metrics, of which the undefended network lacks some."""
    if not cell.done:
        return [cell.word, *[UNDEFINED] * (len(block.metrics) - 1)]
    own = block.metrics if cell.defense else block.metrics_before
    figures = dict.fromkeys(block.metrics, UNDEFINED) | dict(zip(own, cell.figures, strict=True))
    if cell.tally and own:
        figures[own[0]] += f" ({cell.tally})"
    if cell.ranked is not None and (cell.best or cell.second):
        mark = BEST if cell.best else SECOND
        figures[own[cell.ranked]] = f"{mark}{figures[own[cell.ranked]]}{mark}"
    return list(figures.values())


def _ordered(block: Block, line: list[str]) -> list[str]:
    """A line with what its rows are in front."""
    attack, *defense = line[:3]
    return [*defense, attack, *line[3:]] if block.defenses_as_rows else line


def _side_table(table: SideTable) -> list[str]:
    if not table.lines:
        return []
    lines = [list(map(escape_markdown, line)) for line in table.lines]
    note = ["", escape_markdown(table.note)] if table.note else []
    return ["", f"{table.title}:", "", *_grid(list(map(escape_markdown, table.heads)), lines, table.texts), *note]


def _grid(heads: Sequence[str], lines: Sequence[Sequence[str]], texts: int) -> list[str]:
    """A table whose first ``texts`` columns are aligned to the left, and the others to the right."""
    widths = [max(3, *map(cell_len, column)) for column in zip(heads, *lines, strict=True)]

    def aligned(line: Sequence[str]) -> str:
        cells = []
        for index, (text, width) in enumerate(zip(line, widths, strict=True)):
            pad = " " * (width - cell_len(text))
            cells.append(text + pad if index < texts else pad + text)
        return f"| {' | '.join(cells)} |"

    rule = ["-" * (width - 1) + ("-" if index < texts else ":") for index, width in enumerate(widths)]
    return [aligned(heads), aligned(rule), *map(aligned, lines)]
