"""The site as files: every page, the style, the records, and their metadata."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from bench.records import Record
from bench.reports.directory import Kind, expect_free, write_files
from bench.reports.site import addresses, pages
from bench.reports.site.about import About
from bench.reports.site.contents import Contents, contents
from bench.reports.site.croissant import croissant
from bench.reports.tables.csv import csv

_POLICY = (
    b"<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'self' file:; "
    b"base-uri 'none'; form-action 'none'\">\n<title>"
)
_TOP = (
    b'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
    b'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
    b'<meta name="color-scheme" content="light dark">\n' + _POLICY
)  # of every page of before there were lists of files; it stays when the template changes
SITE = Kind(
    what="site",
    manifest="bench-site.json",
    always=(addresses.INDEX, addresses.STYLE, addresses.RECORDS, addresses.CROISSANT, addresses.TABLE),
    page=_POLICY,
    beginnings={".html": (_TOP,), ".css": (b":root { --ink: ",), ".json": (b'{\n "@context": {',)},
)


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
    the measured ones. A file is complete or not there, and those of the last site are replaced or removed
    (``bench.reports.directory``). Raises WrongChoice, before anything is written, for a file that no site wrote, and
    OSError where the folder cannot be written.
    """
    expect_free(folder, SITE)
    made = contents(records, with_invalid=with_invalid, published=published)
    return write_files(folder, dict(_files(made, about or About())), SITE)


def _files(made: Contents, about: About) -> Iterator[tuple[str, bytes]]:
    lines = "".join(f"{json.dumps(_plain(record), sort_keys=True)}\n" for record in made.records).encode()
    yield addresses.RECORDS, lines
    yield addresses.TABLE, csv([one.block for one in made.shown]).encode()
    yield addresses.CROISSANT, croissant(about, lines, made.newest).encode()
    for name, text in pages.written(made, about):
        yield name, text.encode()


def _plain(record: Record) -> dict[str, object]:
    return record.model_dump(mode="json")
