"""One HTML page: tables, figures, what each defense was given and cost, what went wrong, where it all comes from."""

from collections.abc import Sequence

from jinja2 import Environment, PackageLoader, StrictUndefined

from bench.reports.format import NO_DEFENSE
from bench.reports.legend import legend, origins
from bench.reports.records import BEFORE, HEADS
from bench.reports.sections import Section

FigureLinks = Sequence[tuple[str, str]]
"""Paths of images, relative to the page, and their captions."""


def page(sections: list[Section], figures: Sequence[FigureLinks], gallery: FigureLinks) -> str:
    """The page of ``sections``, with the ``figures`` of each and the ``gallery`` of triggers, which may be empty."""
    templates = Environment(
        loader=PackageLoader("bench.reports", "tables"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    contents = [_contents(section, links) for section, links in zip(sections, figures, strict=True)]
    return templates.get_template("page.html").render(
        contents=contents,
        gallery=gallery,
        no_defense=NO_DEFENSE,
        heads=list(HEADS.values()),
        heads_before=[HEADS[metric] for metric in BEFORE],
    )


def _contents(section: Section, figures: FigureLinks) -> dict[str, object]:
    block = section.block
    return {
        "section": section,
        "legend": legend(block, best="Bold and *"),
        "figures": figures,
        "origins": origins(block),
    }
