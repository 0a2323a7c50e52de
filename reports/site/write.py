"""The site as files: every page, the style, the records, and their metadata."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from bench.records import Record
from bench.records.whole_file import write_whole
from bench.reports.site import addresses, pages
from bench.reports.site.about import About
from bench.reports.site.contents import Contents, contents
from bench.reports.site.croissant import croissant
from bench.reports.tables.csv import csv


def write_site(
    records: Iterable[Record],
    folder: Path,
    about: About | None = None,
    *,
    with_invalid: bool = False,
    published: bool = False,
) -> list[Path]:
    """Write the site of ``records`` to ``folder``; return the paths written, the index last.

    The same records give the same bytes, in whatever order they come. Of several with one key one is taken, as
    ``bench.records.once`` says.
    ``with_invalid``: attacks that did not work count in the averages too; ``published``: with published figures beside
    the measured ones. A file is complete or not there; one of the same name is replaced, and others are left alone.
    Raises OSError where the folder cannot be written.
    """
    made = contents(records, with_invalid=with_invalid, published=published)
    return [write_whole(folder / name, [data]) for name, data in _files(made, about or About())]


def _files(made: Contents, about: About) -> Iterator[tuple[str, bytes]]:
    lines = "".join(f"{json.dumps(_plain(record), sort_keys=True)}\n" for record in made.records).encode()
    yield addresses.RECORDS, lines
    yield addresses.TABLE, csv([one.block for one in made.shown]).encode()
    yield addresses.CROISSANT, croissant(about, lines, made.newest).encode()
    for name, text in pages.written(made, about):
        yield name, text.encode()


def _plain(record: Record) -> dict[str, object]:
    return record.model_dump(mode="json")
