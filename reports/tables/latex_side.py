"""The tables beside the results in LaTeX, and that of what is compared, with citations."""

import re

from bench.reports.names.titles import DisplayNames
from bench.reports.sections import Section
from bench.reports.side_table import SideTable
from bench.reports.tables.latex_grid import Grid, Group, Line
from bench.reports.tables.latex_text import Ink, figure

_NAMES = {  # of the files, by the first words of a table's title
    "The attacks": "attacks",
    "Detection": "detection",
    "Intervals of detection": "detection-intervals",
    "Intervals before": "attack-intervals",
    "Target classes": "identification",
    "Reconstructed shift": "reconstruction",
    "Knowledge and cost": "cost",
    "Not done": "unfinished",
    "Said by": "messages",
    "Differences": "differences",
    "Ranks": "ranks",
    "Stability": "stability",
}
_ELSEWHERE = "95 % intervals"  # they stand under the figures of the float "intervals"
_REPEATED = ("attack", "defense")  # columns that every part of a table begins with
_CITED = 60.0  # points for the numbers of a plugin's citations, such as [12, 13]


def side_tables(section: Section, names: DisplayNames) -> dict[str, tuple[SideTable, Grid]]:
    """Every table beside the results that has a line, by the name of its file, but for that of the intervals."""
    made: dict[str, tuple[SideTable, Grid]] = {}
    for plain in [*section.side_tables, section.unfinished, section.messages]:
        if plain.lines and not plain.title.startswith(_ELSEWHERE):
            name = file_name(plain.title)
            while name in made:
                name += "-other"
            table = names.in_table(plain)
            made[name] = table, side_grid(table, repeated=plain.heads)
    return made


def side_grid(table: SideTable, *, repeated: list[str]) -> Grid:
    """A plain table; the columns of it that are headed "attack" or "defense" in ``repeated`` are those to repeat."""
    stubs = next((at for at, head in enumerate(repeated) if head not in _REPEATED), len(repeated)) or 1
    groups = [Group([head], texts=stubs + at < table.texts) for at, head in enumerate(table.heads[stubs:])]
    lines = []
    for line in table.lines:
        cells: list[list[Ink] | str] = [
            text if group.texts else [figure(text)] for text, group in zip(line[stubs:], groups, strict=True)
        ]
        lines.append(Line(line[:stubs], cells))
    return Grid([head.capitalize() for head in table.heads[:stubs]], groups, lines)


def methods_grid(section: Section, names: DisplayNames, cited: dict[tuple[str, str], list[str]]) -> Grid:
    """What is compared: how tables call it, how requests and records do, and what is cited for it."""
    records = section.block.records
    shown = {**names.settings, "attack": names.attacks, "defense": names.defenses}
    lines = []
    for kind, title in {"dataset": "data set", "model": "model", "attack": "attack", "defense": "defense"}.items():
        label = "column" if kind == "defense" else f"{kind}_label"
        order = {name: at for at, name in enumerate(section.block.attacks + section.block.defenses)}
        pairs = sorted(set(zip(records[label], records[kind], strict=True)), key=lambda pair: order.get(pair[0], 0))
        for text, name in pairs:
            if name != "none":
                keys = ",".join(cited.get((kind, name), []))
                cite = Ink(rf"\cite{{{keys}}}" if keys else "--", _CITED)
                lines.append(Line([title, shown[kind][text]], [text, [cite]]))
    return Grid(["", "Name"], [Group(["in records"], texts=True), Group(["source"])], lines)


def file_name(title: str) -> str:
    """The name of a table's file, from its title."""
    known = next((name for words, name in _NAMES.items() if title.startswith(words)), "")
    return known or re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")[:40].strip("-") or "table"
