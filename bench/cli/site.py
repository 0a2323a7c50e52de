"""``bench site``: the results of many stores, as a static site."""

from pathlib import Path

from bench.cli.output import name_damaged
from bench.cli.printed_options import Published, WithInvalid
from bench.errors import RequestError, shortened
from bench.plan.option_types import directory_named
from bench.records.texts import printable


def site(
    *sources: Path,
    out: Path = Path("bench-site"),
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
        Stores, and files records.jsonl with a record a line. Of a cell that is in several, the newest is taken.
    out
        The directory to write to; made if it does not exist. Files of other names in it are left alone.
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
    if url and not url.startswith(("https://", "http://")):
        raise RequestError(f"--url {shortened(url)}: expected an address that begins with https://")
    from bench.cli.site_sources import records_of
    from bench.reports.site.croissant import About
    from bench.reports.site.write import write_site

    records = [record for source in sources for record in records_of(source, name_damaged)]
    if not records:
        raise RequestError(f"site: no results in {', '.join(map(str, sources))}")
    about = About(*map(printable, (title, url, license, creator)))
    paths = write_site(records, folder, about, with_invalid=with_invalid, published=published)
    print(f"{len(paths)} files; open {paths[-1]}")  # noqa: T201
