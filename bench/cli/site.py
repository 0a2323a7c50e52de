"""``bench site``: the results of many stores, as a static site."""

from pathlib import Path

from bench.cli.output import complain, name_damaged
from bench.cli.paths import GivenPath
from bench.cli.printed_options import Published, WithInvalid
from bench.errors import RequestError
from bench.plan.option_types import directory_named


def site(
    *sources: GivenPath,
    out: GivenPath = Path("bench-site"),
    title: str = "Backdoor defenses compared",
    url: str = "",
    license: str = "not stated",
    creator: str = "not stated",
    with_invalid: WithInvalid = False,
    published: Published = False,
) -> None:
    """Write a static site of the results in some stores or files of records: an index, a page a data set and
    architecture, a defense, an attack, and a cell with its records. It has no script and needs no network.

    Parameters
    ----------
    sources
        Stores, and files of records, or directories that have one: records.jsonl, results.parquet, or table.csv, which
        holds only means over seeds. Of a cell that is in several, the newest that is done is taken.
    out
        The directory to write to; made if it does not exist. The files of the last site in it, which bench-site.json
        lists, are replaced or removed; others are left alone.
    title
        The title of the site.
    url
        Where the site will lie, such as https://example.org/backdoors; for its metadata (croissant.json).
    license
        The licence of the results, for their metadata.
    creator
        Who made the results, for their metadata.
    """
    if not sources:
        raise RequestError("site: expected a store or a file of records, such as bench-store or records.jsonl")
    folder = directory_named("out", out)
    from bench.reports import WrongChoice
    from bench.reports.site.about import about
    from bench.reports.site.write import write_site
    from bench.results import from_sources

    try:
        said = about(title=title, url=url, license=license, creator=creator)
    except WrongChoice as error:
        raise RequestError(f"--{error}") from None
    try:
        results, notes = from_sources(sources, name_damaged)
    except RequestError as error:  # a store speaks of the option that usually names it
        reason = str(error).replace("--store ", "site ", 1).replace("an empty place", "records *.jsonl or *.parquet")
        raise RequestError(reason) from None
    for line in notes:
        complain(line)
    if not results.records:
        raise RequestError(f"site: no results in {', '.join(map(str, sources))}")
    try:
        paths = write_site(results.records, folder, said, with_invalid=with_invalid, published=published)
    except WrongChoice as error:
        raise RequestError(f"--{error}") from None
    print(f"{len(paths)} files; open {paths[-1]}")  # noqa: T201
