"""What a command can be told, on the command line or in a study file; and the two put together."""

import tomllib
from dataclasses import dataclass
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from cyclopts import Parameter

from bench.errors import RequestError, meant


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
    recipes
        How victims are trained: quick, fast, paper, adamw, with parameters as in fast[epochs=30] (default: the
        profile's).
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
    recipes: str | None = None
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
    deterministic
        On a GPU too, give the same bits every time; a stage that cannot fails (default: the fastest algorithms).
    compile
        Compile networks before they are trained; pays where a victim takes longer than ten minutes.
    timeout
        Seconds after which a stage is stopped, to be tried once more (default: never).
    """

    executor: str | None = None
    address: str | None = None
    workers: int | None = None
    threads: int | None = None
    device: str | None = None
    gpu_share: float | None = None
    deterministic: Annotated[bool | None, Parameter(negative="")] = None
    compile: Annotated[bool | None, Parameter(negative="")] = None
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


def gathered(
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
    kinds = _kinds()
    for name, value in found.items():
        if name not in known:
            raise RequestError(f"study {path}: unknown option {name!r}{meant(name, known)}")
        expected = kinds[name]
        if not isinstance(value, expected) or (isinstance(value, bool) and expected != (bool,)):
            raise RequestError(
                f"study {path}: {name} = {value!r}: expected {' or '.join(k.__name__ for k in expected)}"
            )
        if name == "seeds" and isinstance(value, list) and not all(type(seed) is int for seed in value):
            raise RequestError(f"study {path}: seeds = {value!r}: expected whole numbers")
    if "plugin" in found:
        found["plugin"] = [path.parent / file for file in found["plugin"]]  # as the file's author sees them
    return found


def _kinds() -> dict[str, tuple[type, ...]]:
    """What TOML may hold for every option: what the command line makes of it, and for some a plainer spelling too."""
    hints = {name: hint for group in (Selections, Engine, Again) for name, hint in get_type_hints(group).items()}
    in_toml: dict[type, tuple[type, ...]] = {Path: (str,), float: (int, float)}
    kinds = {}
    for name, hint in hints.items():
        kind = next(part for part in get_args(hint) if part is not NoneType)
        kinds[name] = in_toml.get(kind, (get_origin(kind) or kind,))
    return kinds | {"seeds": (list, str), "reference": (int, str), "store": (str,)}


def _seeds(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise RequestError(f"--seeds {text}: expected whole numbers, comma-separated") from None


def only_plan(options: dict[str, Any]) -> dict[str, Any]:
    """Those of the options that say what the cells are."""
    left_out = {**vars(Engine()), **vars(Again()), "store": None}
    return {name: value for name, value in options.items() if name not in left_out}
