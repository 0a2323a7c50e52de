"""``bench report`` and ``bench rm``: some of a store's results, shown or removed."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from bench.cli.options import REQUEST, merge_options, with_options
from bench.cli.output import agreed, complain, name_damaged, print_lines
from bench.cli.paths import GivenPath
from bench.cli.printed_options import (
    Against,
    Figures,
    LatexColumns,
    LatexWidth,
    Metrics,
    Order,
    Published,
    Rename,
    Rows,
    WithInvalid,
)
from bench.errors import Damaged, RequestError, shortened
from bench.plan.option_types import directory_named
from bench.plan.request import Request

if TYPE_CHECKING:
    from bench.results import Results
    from bench.store.removal import Removal

_MOST_NAMED = 40  # stages that are named before it is asked whether they may go
SELECTIONS = tuple(name for name in REQUEST if name not in ("data", "plugin"))
Records = Annotated[
    tuple[GivenPath, ...],
    Parameter(negative="", show_default=False, help="A file of records in place of the store; repeatable."),
]


@with_options([*SELECTIONS, "store"], without_default=SELECTIONS)
def report(
    *sources: GivenPath,
    records: Records = (),
    out: GivenPath = Path("bench-report"),
    figure: Figures = (),
    with_invalid: WithInvalid = False,
    order: Order = "name",
    rename: Rename = (),
    metrics: Metrics = None,
    rows: Rows = "attacks",
    published: Published = False,
    against: Against = "",
    latex_width: LatexWidth = None,
    latex_columns: LatexColumns = None,
    **options: Any,
) -> None:
    """Write tables, figures, a page and the records of all results in a store, or of those that the selections fit.

    Only what is given restricts. A name selects what bench run makes of it, a plugin with its usual parameters; all and
    globs select every variant.

    Parameters
    ----------
    sources
        A study file, whose selections are used; a store; or files of records, or directories that have one:
        records.jsonl and results.parquet as this command writes them, or table.csv, which holds only means over seeds.
    out
        The directory to write to; made if it does not exist.
    """
    from bench.reported import write
    from bench.reports import UnknownFigure, WrongChoice, shown

    out = directory_named("out", out)
    given = _sources((*sources, *records), "report")
    request, how = _options(given, options)
    results = _results(given, how.store, store_too="store" in options or given.store is not None)
    results = _selected(request, results)
    try:
        choice = shown(order=order, rename=rename, metrics=metrics, rows=rows, given=results.given)
        asked = {"with_invalid": with_invalid, "figures": figure, "published": published, "compare_with": against}
        asked |= {"latex_width": latex_width, "latex_columns": latex_columns}
        paths = write(results.records, results.frame, results.store, out, name_damaged, **asked, shown=choice)
    except UnknownFigure as error:
        raise RequestError(f"--figure {error}") from None
    except WrongChoice as error:
        raise RequestError(f"--{error}") from None
    for path in paths:
        print(path)  # noqa: T201


@with_options([*SELECTIONS, "store"], without_default=SELECTIONS)
def rm(*targets: str, yes: Annotated[bool, Parameter(negative="", show_default=False)] = False, **options: Any) -> int:
    """Remove results from a store, after listing them and asking: by key, or all that the selections fit.

    Only what is given restricts, as for bench report.
    Selections with --defenses, or with what a defender is given, remove cells; all others remove victims with all their
    cells. What a running process computes stays.

    Parameters
    ----------
    targets
        Keys of cells or victims, or their beginnings; or a study file, whose selections are used.
    yes
        Do not ask.
    """
    from bench.plan.removal import removal_of
    from bench.store.removal import remove
    from bench.store.store import Store

    studies = [Path(target) for target in targets if target.endswith(".toml")]
    keys = [target for target in targets if not target.endswith(".toml")]
    request, how = _options(_sources(studies, "rm"), options)
    damaged: list[Damaged] = []
    store = Store(how.store, create=False)
    removal, notes = removal_of(store, request, keys, damaged.append)
    for line in notes:
        complain(line)
    for error in damaged:
        name_damaged(error)
    print_lines(_removal_lines(removal))
    if not yes and not agreed("rm"):
        return 0
    left = remove(store, removal)
    for line in left:
        complain(line)
    return 1 if left else 0


@dataclass
class _Sources:
    """What a command was given to read: at most one study and one store, and files of records."""

    study: Path | None = None
    store: Path | None = None
    files: list[Path] = field(default_factory=list)


def _sources(paths: Sequence[Path], command: str) -> _Sources:
    from bench.results import is_records
    from bench.store.marker import NAME as STORE

    found = _Sources()
    for path in paths:
        named = f"{command} {shortened(str(path))}"
        if path.suffix == ".toml":
            if found.study is not None:
                raise RequestError(f"{named}: expected one study, {shortened(str(found.study))} is another")
            found.study = path
        elif is_records(path):
            found.files.append(path)
        elif (path / STORE).exists():
            if found.store is not None:
                raise RequestError(f"{named}: expected one store; bench merge puts stores together")
            found.store = path
        else:
            expected = "expected a study *.toml, a store, or records *.jsonl, *.parquet or table.csv"
            raise RequestError(f"{named}: {'a directory with none of these; ' * path.is_dir()}{expected}")
    return found


def _options(given: _Sources, options: dict[str, Any]) -> tuple[Request, Any]:
    if given.store is not None:
        if "store" in options:
            raise RequestError(f"--store {options['store']}: expected one store, {given.store} is another")
        options = {**options, "store": str(given.store)}
    return merge_options(given.study, options)


def _results(given: _Sources, store: Path, *, store_too: bool) -> "Results":
    """Those of the files, and of the store if there are no files or it was named beside them."""
    from bench.results import Results, from_sources, from_store
    from bench.store.store import Store

    if not given.files:
        results = from_store(store, name_damaged)
        if not results.records:
            raise RequestError(f"--store {store}: holds no results yet")
        return results
    root = Store(store, create=False).root if store_too else None
    both, notes = from_sources([*given.files, *([root] if root else [])], name_damaged)
    for line in notes:
        complain(line)
    return Results(both.records, root)


def _selected(request: Request, results: "Results") -> "Results":
    from bench.plan.matching import matching
    from bench.results import Results

    matched = matching(request, results.records)
    for line in matched.notes:
        complain(line)
    return Results(matched.records, results.store, matched.given)


def _removal_lines(removal: "Removal") -> list[str]:
    """What would be removed: the first of it by name, and how much it is."""
    from rich.markup import escape

    named = [*removal.victims.values(), *removal.cells.values()]
    more = [f"… and {len(named) - _MOST_NAMED} more"] if len(named) > _MOST_NAMED else []
    counts = [(len(removal.victims), "victim"), (len(removal.cells), "cell")]
    told = ", ".join(f"{count} {what}{'s' * (count != 1)}" for count, what in counts if count)
    return [*(escape(line) for line in named[:_MOST_NAMED]), *more, f"{told}, {removal.size / 2**20:.1f} MiB"]
