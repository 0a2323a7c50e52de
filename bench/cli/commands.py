"""The commands: parse, call, print; nothing else. Heavy imports wait until a command needs them."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, Parameter

from bench import __version__
from bench.cli.options import EVERY, REQUEST, merge_options, with_options
from bench.cli.output import complain, name_damaged, print_lines
from bench.cli.printed_options import Figures, WithInvalid
from bench.errors import Damaged, RequestError, shortened
from bench.plan.option_types import directory_named
from bench.plan.request import Request
from bench.records.texts import printable

if TYPE_CHECKING:
    from bench.plan.plan import Plan

app = App(
    name="bench",
    help="Compare defenses against backdoor attacks on image classifiers.",
    version=__version__,
    help_format="plaintext",
)


@app.command
@with_options(EVERY)
def run(study: Path | None = None, /, *, with_invalid: WithInvalid = False, **options: Any) -> int:
    """Run every cell of dataset x model x attack x defense x seed that is not in the store, and print the table.

    Parameters
    ----------
    study
        A TOML file with the same options; the command line wins over it.
    """
    from rich.console import Console

    from bench.api import run_request
    from bench.engine.display import Lines, Screen
    from bench.engine.printed import to_stderr
    from bench.reports import terminal_table

    request, how = merge_options(study, options)
    out, err = Console(), Console(stderr=True)
    if err.is_terminal:
        with Screen(err) as screen, to_stderr():
            results = run_request(request, how, screen)
    else:
        with to_stderr():
            results = run_request(request, how, Lines(err))
    failed = [record for record in results.records if record.status in ("failed", "timeout")]
    try:
        for table in terminal_table(results.frame, with_invalid=with_invalid):
            out.print(table)
    except SystemExit:  # rich, when nobody reads any more: what failed is said in any case
        if not failed:
            raise
    for record in failed:
        text = f"{record.attack_label} × {record.defense_label} seed {record.seed}: {record.status}: {record.reason}"
        err.print(f"{printable(text)} (bench show {record.key[:12]})", markup=False, highlight=False, soft_wrap=True)
    return 1 if failed else 0


@app.command
@with_options([*REQUEST, "store", "stale"])
def plan(study: Path | None = None, /, **options: Any) -> None:
    """Show what a run would do: its cells, and which of them the store has.

    Parameters
    ----------
    study
        A TOML file with the options of bench run; the command line wins over it.
    """
    from bench.api import data_folder
    from bench.cli.listing import plan_lines
    from bench.store.store import Store

    request, how = merge_options(study, options)
    store = Store(how.store, create=False) if how.store.exists() else None
    made = _plan_of(request)
    lines = plan_lines(made, store, made.summaries(data_folder(request.data)), keep=how.stale == "keep")
    print("\n".join(map(printable, lines)))  # noqa: T201


@app.command(name="list")
@with_options(["plugin"])
def list_plugins(kind: str | None = None, /, **options: Any) -> int:
    """List the plugins.

    Parameters
    ----------
    kind
        datasets, models, attacks or defenses (default: all of them).
    """
    from bench.cli.listing import plugin_lines
    from bench.plan.registry import KINDS, Registry

    kinds = [name for name in KINDS if kind is None or name == kind.removesuffix("s")]
    if not kinds:
        raise RequestError(f"list {kind}: expected one of {', '.join(f'{name}s' for name in KINDS)}")
    request, _ = merge_options(None, options)
    registry = Registry([file.resolve() for file in request.plugin])
    print_lines(plugin_lines(registry, kinds))
    for line in (*(f"left out: {line}" for line in registry.skipped), *registry.problems):
        complain(line)
    return 2 if registry.problems else 0


@app.command
@with_options(["plugin", "store"])
def show(name: str, /, **options: Any) -> None:
    """Show a plugin with its parameters, or all that is recorded of a result.

    Parameters
    ----------
    name
        A plugin's name, kind:name where two kinds share it, or the beginning of a result's key.
    """
    from bench.api import open_registry
    from bench.cli.listing import show_lines
    from bench.plan.blame import blaming

    request, how = merge_options(None, options)
    registry = open_registry(request.plugin, complain)
    with blaming(f"show {shortened(name)}", "describing it"):  # a plugin's defaults may be anything
        lines = show_lines(name, registry, how.store)
    print_lines(lines)


@app.command
@with_options([*REQUEST, "store", "stale"])
def status(study: Path | None = None, /, **options: Any) -> None:
    """Show what a store holds and what is running; with selections, how many of their cells are done and wait.

    Parameters
    ----------
    study
        A TOML file with the options of bench run; the command line wins over it.
    """
    from bench.cli.listing import status_lines
    from bench.store.store import Store

    request, how = merge_options(study, options)
    store = Store(how.store, create=False)
    selected = request.model_fields_set - {"plugin", "data"}  # these two alone select nothing
    print_lines(status_lines(store, _plan_of(request) if selected else None, keep=how.stale == "keep"))


@app.command
def merge(into: Path, /, *others: Path) -> int:
    """Copy into a store what it does not have from other stores, checking every file that is copied.

    What both have stays as it is in the first. Finished cells win over failures. Damaged stages are left out.

    Parameters
    ----------
    into
        The store to copy into; made if it does not exist.
    others
        The stores to copy from; they stay as they are.
    """
    from bench.cli.listing import merged_lines
    from bench.store.merge import merge as merge_stores
    from bench.store.store import Store

    if not others:
        raise RequestError(f"merge {into}: expected one or more stores to take from")
    sources = [Store(path, create=False) for path in others]
    target, clean = Store(into), True
    for source in sources:
        made = merge_stores(target, source)
        clean = clean and not made.damaged
        print_lines([f"{source.root}:", *merged_lines(made)])
    return 0 if clean else 1


@app.command
@with_options(["store"])
def measure(**options: Any) -> int:
    """Derive every metric of a store's cells anew from the stored predictions. Nothing is run again."""
    from bench.cell.measure import measure_again
    from bench.cli.listing import measured_lines
    from bench.store.store import Store

    _, how = merge_options(None, options)
    store, damaged = Store(how.store, create=False), list[Damaged]()
    print_lines(measured_lines(measure_again(store, damaged.append)))
    for error in damaged:
        name_damaged(error)
    return 1 if damaged else 0


@app.command
@with_options(["store"])
def verify(**options: Any) -> int:
    """Read all that a store holds, compare every hash and check every file; nothing is changed.

    What is damaged is named; bench run computes it again. bench status then says when this was.
    """
    from bench.cli.listing import verified_lines
    from bench.store import verify as verifying
    from bench.store.store import Store

    _, how = merge_options(None, options)
    store = Store(how.store, create=False)
    found = verifying.verify(store)
    print_lines(verified_lines(found))
    try:
        verifying.note(store, found)
    except OSError as error:  # such as a store that may only be read
        complain(f"when this was verified could not be kept: {error}")
    return 1 if found.damaged else 0


@app.command(name="gc")
@with_options(["store"])
def clean(*, yes: Annotated[bool, Parameter(negative="", show_default=False)] = False, **options: Any) -> None:
    """Remove from a store what no record needs, after listing it and asking.

    Parameters
    ----------
    yes
        Do not ask.
    """
    from bench.cli.listing import waste_lines
    from bench.store.store import Store
    from bench.store.waste import discard, waste

    _, how = merge_options(None, options)
    store = Store(how.store, create=False)
    damaged: list[Damaged] = []
    unneeded = waste(store, damaged)
    print_lines(waste_lines(unneeded, damaged))
    if unneeded and not yes:
        if not sys.stdin.isatty():
            raise RequestError("gc: not a terminal: pass --yes to remove this")
        yes = input("remove this? [y/N] ").strip().lower() in ("y", "yes")
    if unneeded and yes:
        discard(store, unneeded)


@app.command
@with_options(["store"])
def report(
    *,
    out: Path = Path("bench-report"),
    figure: Figures = (),
    with_invalid: WithInvalid = False,
    **options: Any,
) -> None:
    """Write tables, figures and a page from everything in a store.

    Parameters
    ----------
    out
        The directory to write to; made if it does not exist.
    """
    from bench.cell.outcomes import outcomes
    from bench.cell.validity import judged_records
    from bench.records import to_frame
    from bench.reports import UnknownFigure, write_report
    from bench.results import pictures
    from bench.store.store import Store

    _, how = merge_options(None, options)
    out = directory_named("out", out)
    store = Store(how.store, create=False)
    frame = to_frame(judged_records(store, name_damaged))
    if frame.empty:
        raise RequestError(f"--store {store.root}: holds no results yet")
    try:
        known = outcomes(store, name_damaged)
        shown = pictures(store, name_damaged)
        paths = write_report(frame, out, shown, with_invalid=with_invalid, figures=figure, outcomes=known)
    except UnknownFigure as error:
        raise RequestError(f"--figure {error}") from None
    for path in paths:
        print(path)  # noqa: T201


def _plan_of(request: Request) -> "Plan":
    """The plan of a request. Broken plugins that ``all`` or a glob leaves out are named, and its notes said."""
    from bench.api import data_folder, open_registry
    from bench.plan.plan import make_plan

    registry = open_registry(request.plugin, complain)
    made = make_plan(request, registry, data_folder(request.data))
    for line in registry.skipped:
        complain(f"left out: {line}")
    for line in made.notes:
        complain(line)
    return made
