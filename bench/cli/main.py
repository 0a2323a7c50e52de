"""The command line: parse, call, print; nothing else. Heavy imports wait until a command needs them."""

import gc
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, CycloptsError, Parameter

from bench import __version__, provenance
from bench.cli.options import Again, Engine, Selections, gathered, only_plan
from bench.errors import Damaged, RequestError

app = App(
    name="bench",
    help="Compare defenses against backdoor attacks on image classifiers.",
    version=__version__,
    help_format="plaintext",
)


WithInvalid = Annotated[
    bool, Parameter(negative="", help="Let attacks that had not worked, marked with a dagger, count in averages.")
]
StorePath = Annotated[Path | None, Parameter(help="Where results are kept (default: ./bench-store).")]


@app.command
def run(
    study: Path | None = None,
    /,
    *,
    selections: Selections | None = None,
    engine: Engine | None = None,
    again: Again | None = None,
    store: StorePath = None,
    with_invalid: WithInvalid = False,
) -> int:
    """Run every cell of dataset x model x attack x defense x seed that is not in the store, and print the table.

    Parameters
    ----------
    study
        A TOML file with the same options; the command line wins over it.
    """
    from rich.console import Console

    from bench.api import run as run_cells
    from bench.engine.display import Lines, Screen
    from bench.reports import terminal_table

    options = gathered(study, selections, engine, store, again)
    out, err = Console(), Console(stderr=True)
    if err.is_terminal:
        with Screen(err) as screen:
            results = run_cells(**options, listener=screen)
    else:
        results = run_cells(**options, listener=Lines(err))
    for table in terminal_table(results.frame, with_invalid=with_invalid):
        out.print(table)
    failed = [record for record in results.records if record.status in ("failed", "timeout")]
    for record in failed:
        text = f"{record.attack_label} × {record.defense_label} seed {record.seed}: {record.status}: {record.reason}"
        err.print(f"{text} (bench show {record.key[:12]})", markup=False, highlight=False, soft_wrap=True)
    return 1 if failed else 0


@app.command
def plan(study: Path | None = None, /, *, selections: Selections | None = None, store: StorePath = None) -> None:
    """Show what a run would do: its cells, and which of them the store has.

    Parameters
    ----------
    study
        A TOML file with the same options; the command line wins over it.
    """
    from bench.api import DEFAULT_STORE, data_folder, open_registry, plan_of
    from bench.cli.listing import plan_lines
    from bench.store.store import Store

    options = gathered(study, selections, None, store)
    root = Path(options.get("store", DEFAULT_STORE))
    kept = Store(root, create=False) if root.exists() else None
    registry = open_registry(options.pop("plugin", ()))
    made = plan_of(registry, data_folder(options.pop("data", None)), **only_plan(options))
    for line in registry.skipped:
        _complain(f"left out: {line}")
    print("\n".join(plan_lines(made, kept)))  # noqa: T201


@app.command(name="list")
def list_plugins(
    kind: str | None = None, /, *, plugin: Annotated[list[Path] | None, Parameter(negative="")] = None
) -> int:
    """List the plugins.

    Parameters
    ----------
    kind
        datasets, models, attacks or defenses (default: all of them).
    plugin
        A file with plugins of your own; repeatable.
    """
    from bench.cli.listing import plugin_lines
    from bench.plan.registry import KINDS, Registry

    wanted = [name for name in KINDS if kind is None or name == kind.removesuffix("s")]
    if not wanted:
        raise RequestError(f"list {kind}: expected one of {', '.join(f'{name}s' for name in KINDS)}")
    registry = Registry([file.resolve() for file in plugin or ()])
    _print(plugin_lines(registry, wanted))
    for problem in registry.problems:
        _complain(problem)
    return 2 if registry.problems else 0


@app.command
def show(
    name: str, /, *, store: StorePath = None, plugin: Annotated[list[Path] | None, Parameter(negative="")] = None
) -> None:
    """Show a plugin with its parameters, or a result with all that is known of it.

    Parameters
    ----------
    name
        A plugin's name, kind:name where two kinds share it, or the beginning of a result's key.
    plugin
        A file with plugins of your own; repeatable.
    """
    from bench.api import DEFAULT_STORE, open_registry
    from bench.cli.listing import show_lines

    _print(show_lines(name, open_registry(plugin or ()), store or DEFAULT_STORE))


@app.command
def status(study: Path | None = None, /, *, selections: Selections | None = None, store: StorePath = None) -> None:
    """Show what a store holds and what is running; with selections, what of them is done and what waits.

    Parameters
    ----------
    study
        A TOML file with the same options; the command line wins over it.
    """
    from bench.api import DEFAULT_STORE, data_folder, open_registry, plan_of
    from bench.cli.listing import status_lines
    from bench.store.store import Store

    options = gathered(study, selections, None, store)
    kept = Store(Path(options.get("store", DEFAULT_STORE)), create=False)
    chosen = only_plan(options)
    registry = open_registry(chosen.pop("plugin", ()))
    folder = data_folder(chosen.pop("data", None))
    _print(status_lines(kept, plan_of(registry, folder, **chosen) if chosen else None))


@app.command
def merge(into: Path, /, *others: Path) -> int:
    """Copy what a store does not have from other stores, checking all that is copied.

    What both have stays as it is in the first; finished cells win over failures; what is damaged is left out.

    Parameters
    ----------
    into
        The store to complete; made if it is not there.
    others
        The stores to take from; they stay as they are.
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
        _print([f"{source.root}:", *merged_lines(made)])
    return 0 if clean else 1


@app.command(name="gc")
def clean(*, store: StorePath = None, yes: Annotated[bool, Parameter(negative="")] = False) -> None:
    """Remove from a store what no record needs, after listing it and asking.

    Parameters
    ----------
    yes
        Do not ask.
    """
    from bench.api import DEFAULT_STORE
    from bench.cli.listing import waste_lines
    from bench.store.store import Store
    from bench.store.waste import discard, waste

    kept = Store(store or DEFAULT_STORE, create=False)
    damaged: list[Damaged] = []
    found = waste(kept, damaged)
    _print(waste_lines(found, damaged))
    if found and not yes:
        if not sys.stdin.isatty():
            raise RequestError("gc: nobody to ask here; expected --yes to remove this")
        yes = input("remove this? [y/N] ").strip().lower() in ("y", "yes")
    if found and yes:
        discard(kept, found)


@app.command
def report(*, store: StorePath = None, out: Path = Path("bench-report"), with_invalid: WithInvalid = False) -> None:
    """Write tables, figures and a page from everything in a store.

    Parameters
    ----------
    out
        The directory for them; made if it is not there.
    """
    from bench.api import DEFAULT_STORE, pictures
    from bench.cell.validity import judged_records
    from bench.records import to_frame
    from bench.reports import write_report
    from bench.store.store import Store

    kept = Store(store or DEFAULT_STORE, create=False)
    frame = to_frame(judged_records(kept, _left_out))
    if frame.empty:
        raise RequestError(f"--store {kept.root}: holds no results yet")
    if out.exists() and not out.is_dir():
        raise RequestError(f"--out {out}: expected a directory, this is a file")
    for path in write_report(frame, out, pictures(kept, frame, _left_out), with_invalid=with_invalid):
        print(path)  # noqa: T201


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command and exit: 0 all well, 1 a cell failed or a file is damaged, 2 the request was wrong."""
    gc.set_threshold(50_000, 20, 20)  # the default looks through torch's modules and 10,000 records again and again
    tokens = list(sys.argv[1:] if arguments is None else arguments)
    before = provenance.typed_command.set(provenance.command_line(tokens))
    try:
        status = _guarded(lambda: app(tokens, exit_on_error=False, print_error=False, result_action="return_value"))
    finally:
        provenance.typed_command.reset(before)
    sys.exit(status)


def _guarded(command: Callable[[], Any]) -> int:
    try:
        return command() or 0
    except (RequestError, CycloptsError) as error:
        _complain(" ".join(str(error).split()))
        return 2
    except Damaged as error:
        _complain(f"damaged: {error}")
        return 1
    except KeyboardInterrupt:
        _complain("interrupted; what was finished is kept, and the same command goes on from there")
        return 130
    except BrokenPipeError:
        sys.stderr.close()
        return 0
    except OSError as error:  # such as a disk that is full, or may not be written
        _complain(str(error))
        return 1


def _complain(line: str) -> None:
    print(f"bench: {line}", file=sys.stderr)  # noqa: T201


def _left_out(error: Damaged) -> None:
    _complain(f"left out, damaged: {error}; bench run makes it again")


def _print(lines: list[Any]) -> None:
    from rich.console import Console

    console = Console()
    for line in lines:
        console.print(line, highlight=False, soft_wrap=isinstance(line, str))
