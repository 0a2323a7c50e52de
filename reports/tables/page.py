"""One HTML page that holds all it shows: tables, figures, what each defense was given, where it all comes from."""

import re
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import sha256

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from bench.reports.format import NO_DEFENSE
from bench.reports.legend import legend, origins
from bench.reports.page.cells import matrix_cells, pair_cells
from bench.reports.page.grids import SHADES, grid
from bench.reports.page.origin import all_class_names, commands, newest
from bench.reports.page.pictures import DRAWN, PHOTOGRAPHED, FigureLinks, Picture, Read, carried
from bench.reports.rows import Row
from bench.reports.sections import Section
from bench.reports.side_table import SideTable

_SOURCES = PackageLoader("bench.reports", "page")


def page(sections: list[Section], figures: Sequence[FigureLinks], galleries: Sequence[FigureLinks], read: Read) -> str:
    """The page of ``sections``, with the ``figures`` and the ``galleries`` of triggers of each, which may be empty.

    ``read`` gives the bytes of a figure's PNG from its path, and of its SVG, which lies beside it; the page holds all
    figures and asks no network. Whatever a
    text of a record says is shown as text, and no such text stands in a script or a style.
    """
    templates = _templates()
    drawings = carried(figures, read, DRAWN, drawn=lambda path: read(f"{path.removesuffix('.png')}.svg"))
    photographs = carried(galleries, read, PHOTOGRAPHED, photographs=True)
    metrics = max((len(section.block.metrics) for section in sections), default=0)
    script = _SOURCES.get_source(templates, "script.js")[0]
    return templates.get_template("page.html").render(
        contents=[
            _contents(number, *parts)
            for number, parts in enumerate(zip(sections, drawings, photographs, strict=True), 1)
        ],
        date=newest(section.block for section in sections),
        style=Markup(templates.get_template("style.css").render(shades=SHADES, metrics=metrics)),
        script=Markup(script),
        script_hash=_hashed(f"\n{script}\n"),
    )


@cache
def _templates() -> Environment:
    templates = Environment(
        loader=_SOURCES,
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    templates.filters |= {"breakable": _breakable, "matrix_cells": matrix_cells, "pair_cells": pair_cells}
    return templates


@dataclass(frozen=True)
class _SideLine:
    """A line of a table beside the results, and which attack and defense it is of, if of one."""

    texts: list[str]
    attack: int | None
    defense: int | None


def _contents(number: int, section: Section, figures: list[Picture], gallery: list[Picture]) -> dict[str, object]:
    """All that the template shows of a section."""
    block = section.block
    contents: dict[str, object] = {
        "id": f"b{number}",
        "title": block.title,
        "section": section,
        "legend": legend(block, best="Bold and *"),
        "figures": figures,
        "gallery": gallery,
        "grid": grid(block, section.rows),
        "side_tables": [(table, _side_lines(section, table)) for table in section.side_tables],
        "unfinished": _side_lines(section, section.unfinished),
        "messages": _side_lines(section, section.messages),
        "class_names": all_class_names(block),
        "origins": origins(block),
        "commands": commands(block),
    }
    return contents | {"parts": _parts(section, contents)}


def _parts(section: Section, contents: dict[str, object]) -> list[tuple[str, str]]:
    """The parts of a section, as the contents list names them, that have something to show."""
    tables = [(f"table{number}", table.title) for number, table in enumerate(section.side_tables, 1)]
    several = isinstance(contents["figures"], list) and len(contents["figures"]) > 1
    parts = [
        ("matrix", "Defenses by attacks", True),
        ("all", "All metrics", True),
        ("figures", "Figures", several),
        *((name, title, True) for name, title in tables),
        ("unfinished", section.unfinished.title, bool(contents["unfinished"])),
        ("said", section.messages.title, bool(contents["messages"])),
        ("triggers", "Triggers", bool(contents["gallery"])),
        ("classes", "Classes", bool(contents["class_names"])),
        ("origin", "Where this comes from", True),
    ]
    return [(name, title) for name, title, there in parts if there]


def _side_lines(section: Section, table: SideTable) -> list[_SideLine]:
    attacks = _places(section.rows)
    defenses = {name: place for place, name in enumerate(section.block.defenses)} | {NO_DEFENSE: None}
    columns = {head: place for place, head in enumerate(table.heads)}

    def place(line: list[str], head: str, places: Mapping[str, int | None]) -> int | None:
        return places.get(line[columns[head]]) if head in columns else None

    return [_SideLine(line, place(line, "attack", attacks), place(line, "defense", defenses)) for line in table.lines]


def _places(rows: list[Row]) -> dict[str, int]:
    """By an attack's name and by its heading its place among the rows."""
    named = {row.attack: place for place, row in enumerate(rows) if not row.average}
    return {row.heading: place for place, row in enumerate(rows) if not row.average} | named


def _breakable(name: str) -> Markup:
    """A name, escaped, with places where a line may end: after a bracket, a comma, a dash, an equals sign."""
    return Markup("<wbr>").join(re.split(r"(?<=[\[(,_=])", name))


def _hashed(text: str) -> str:
    """A text as a page's policy names the one script that may run."""
    return f"sha256-{b64encode(sha256(text.encode()).digest()).decode()}"
