"""The command line: parse, call, print; nothing else. Heavy imports wait until a command needs them."""

import sys
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, CycloptsError, Parameter

from bench import __version__
from bench.errors import RequestError

app = App(
    name="bench",
    help="Compare defenses against backdoor attacks on image classifiers.",
    version=__version__,
    help_format="plaintext",
)


@Parameter(name="*")
@dataclass
class Selections:
    """What to compare. A selection is a comma-separated list of names, globs, all, name[param=value] and
    name[param=a|b] for a sweep.

    Parameters
    ----------
    defenses
        Defenses to compare (default: all).
    attacks
        Attacks to defend against (default: all).
    models
        Architectures (default: the profile's).
    datasets
        Data sets (default: the profile's).
    seeds
        Seeds, comma-separated (default: the profile's).
    profile
        quick (the default: real digits and a slim network, minutes on a CPU) or paper (CIFAR-10, for a GPU).
    reference
        Clean reference images given to a defense: a number, or a share of the training set such as 5%.
    suspects
        Suspected images given to a defense that declares that it needs them.
    data
        Where data sets lie, in torchvision's layout (default: $DEFENSEBENCH_DATA, else the user's cache directory).
    plugin
        A file with plugins of your own; repeatable.
    """

    defenses: str | None = None
    attacks: str | None = None
    models: str | None = None
    datasets: str | None = None
    seeds: str | None = None
    profile: str | None = None
    reference: str | None = None
    suspects: int | None = None
    data: Path | None = None
    plugin: Annotated[list[Path] | None, Parameter(negative="")] = None


@Parameter(name="*")
@dataclass
class Engine:
    """How to run it.

    Parameters
    ----------
    executor
        local (the default: a worker process for each device), inline (in this process), or ray (workers on the nodes
        of a Ray cluster, or of a Ray that is started for the run).
    address
        The Ray cluster to join: auto, HOST:PORT or ray://HOST:PORT (default: a Ray of its own).
    workers
        Worker processes (default: one for each GPU, or for each CPU core).
    threads
        CPU threads of a worker (default: 1).
    device
        auto (the default), cpu, cuda, or GPUs by number such as cuda:0,1.
    gpu_share
        The part of a GPU that a worker needs: 0.5 gives each GPU two workers (default: 1).
    timeout
        Seconds after which a stage is stopped, to be tried once more (default: never).
    """

    executor: str | None = None
    address: str | None = None
    workers: int | None = None
    threads: int | None = None
    device: str | None = None
    gpu_share: float | None = None
    timeout: float | None = None


@Parameter(name="*")
@dataclass
class Again:
    """What of it to compute (default: all that is not done).

    Parameters
    ----------
    retry
        failed: only the cells that failed, or ran into the timeout, earlier.
    only
        missing: only the cells that were never tried; none that failed earlier.
    refresh
        Plugins whose stages are computed again, comma-separated: of a defense its cells; of an attack, a model or a
        data set its victims with their cells.
    """

    retry: str | None = None
    only: str | None = None
    refresh: str | None = None


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
    from bench.display import Lines, Screen
    from reports import terminal_table

    options = _options(study, selections, engine, store, again)
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
    from bench.listing import plan_lines
    from bench.store import Store

    options = _options(study, selections, None, None)
    root = store or DEFAULT_STORE
    kept = Store(root, create=False) if root.exists() else None
    registry = open_registry(options.pop("plugin", ()))
    made = plan_of(registry, data_folder(options.pop("data", None)), **_only_plan(options))
    for line in registry.skipped:
        _complain(f"left out: {line}")
    _print(plan_lines(made, kept))


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
    from bench.listing import plugin_lines
    from bench.registry import KINDS, Registry

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
    from bench.listing import show_lines

    _print(show_lines(name, open_registry(plugin or ()), store or DEFAULT_STORE))


@app.command
def status(*, store: StorePath = None) -> None:
    """Show what a store holds."""
    from bench.api import DEFAULT_STORE
    from bench.listing import status_lines
    from bench.store import Store

    _print(status_lines(Store(store or DEFAULT_STORE, create=False)))


@app.command
def report(*, store: StorePath = None, out: Path = Path("bench-report"), with_invalid: WithInvalid = False) -> None:
    """Write tables, figures and a page from everything in a store.

    Parameters
    ----------
    out
        The directory for them; made if it is not there.
    """
    from bench.api import DEFAULT_STORE, pictures
    from bench.records import to_frame
    from bench.store import Store
    from bench.validity import judged
    from reports import write_report

    kept = Store(store or DEFAULT_STORE, create=False)
    frame = to_frame(judged(kept.records()))
    if frame.empty:
        raise RequestError(f"--store {kept.root}: holds no results yet")
    if out.exists() and not out.is_dir():
        raise RequestError(f"--out {out}: expected a directory, this is a file")
    for path in write_report(frame, out, pictures(kept, frame), with_invalid=with_invalid):
        print(path)  # noqa: T201


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command and exit: 0 all well, 1 a cell failed, 2 the request was wrong."""
    tokens = list(sys.argv[1:] if arguments is None else arguments)
    sys.exit(_guarded(lambda: app(tokens, exit_on_error=False, print_error=False, result_action="return_value")))


def _guarded(command: Callable[[], Any]) -> int:
    try:
        return command() or 0
    except (RequestError, CycloptsError) as error:
        _complain(" ".join(str(error).split()))
        return 2
    except KeyboardInterrupt:
        _complain("interrupted; what was finished is kept, and the same command goes on from there")
        return 130
    except BrokenPipeError:
        sys.stderr.close()
        return 0


def _options(
    study: Path | None,
    selections: Selections | None,
    engine: Engine | None,
    store: Path | None,
    again: Again | None = None,
) -> dict[str, Any]:
    """What was set, in the file or on the command line, which wins."""
    groups: tuple[Selections | Engine | Again, ...] = (selections or Selections(), engine or Engine(), again or Again())
    typed = {name: value for group in groups for name, value in vars(group).items()} | {"store": store}
    options = _read_study(study, list(typed)) if study else {}
    options |= {name: value for name, value in typed.items() if value is not None}
    if isinstance(options.get("seeds"), str):
        options["seeds"] = _seeds(options["seeds"])
    return options


def _read_study(path: Path, known: list[str]) -> dict[str, Any]:
    try:
        found = tomllib.loads(path.read_text())
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise RequestError(f"study {path}: cannot be read as TOML: {error}") from error
    kinds: dict[str, tuple[type, ...]] = {
        "suspects": (int,), "workers": (int,), "threads": (int,), "timeout": (int, float), "gpu_share": (int, float),
        "seeds": (list, str), "plugin": (list,), "reference": (int, str),
    }  # fmt: skip
    for name, value in found.items():
        if name not in known:
            near = get_close_matches(name, known, n=1)
            raise RequestError(
                f"study {path}: unknown option {name!r}" + (f"; did you mean {near[0]!r}?" if near else "")
            )
        expected = kinds.get(name, (str,))
        if not isinstance(value, expected) or isinstance(value, bool):
            raise RequestError(
                f"study {path}: {name} = {value!r}: expected {' or '.join(k.__name__ for k in expected)}"
            )
        if name == "seeds" and isinstance(value, list) and not all(type(seed) is int for seed in value):
            raise RequestError(f"study {path}: seeds = {value!r}: expected whole numbers")
    if "plugin" in found:
        found["plugin"] = [path.parent / file for file in found["plugin"]]  # as the file's author sees them
    return found


def _seeds(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise RequestError(f"--seeds {text}: expected whole numbers, comma-separated") from None


def _only_plan(options: dict[str, Any]) -> dict[str, Any]:
    left_out = {**vars(Engine()), **vars(Again()), "store": None}
    return {name: value for name, value in options.items() if name not in left_out}


def _complain(line: str) -> None:
    print(f"bench: {line}", file=sys.stderr)  # noqa: T201


def _print(lines: list[Any]) -> None:
    from rich.console import Console

    console = Console()
    for line in lines:
        console.print(line, highlight=False, soft_wrap=isinstance(line, str))
