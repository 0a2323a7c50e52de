"""The commands that look and change nothing: plugins, plans, results. Heavy imports wait until one is called."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.cli.options import REQUEST, merge_options, with_options
from bench.cli.output import complain, print_lines, write_out
from bench.cli.printed_options import AsJson
from bench.errors import RequestError, shortened
from bench.plan.request import Request
from bench.records.texts import printable

if TYPE_CHECKING:
    from bench.plan.plan import Plan


@with_options([*REQUEST, "store", "stale", "executor", "device", "workers", "threads", "gpu_share"])
def plan(study: Path | None = None, /, *, as_json: AsJson = False, **options: Any) -> None:
    """Show what a run would do: its cells, which of them the store has, and how long the others may take.

    Parameters
    ----------
    study
        A TOML file with the options of bench run; the command line wins over it.
    """
    from bench.api import data_folder
    from bench.cli.as_json import print_json
    from bench.cli.planned import estimated, planned, planned_json, planned_lines
    from bench.store.store import Store

    request, how = merge_options(study, options)
    store = Store(how.store, create=False) if how.store.exists() else None
    data, keep = data_folder(request.data), how.stale == "keep"
    made = plan_of(request)
    found, summaries = planned(made, store, keep=keep), made.summaries(data)
    estimate, slots = estimated(found, store, data, how)
    if as_json:
        print_json(planned_json(found, summaries, (estimate, slots), keep=keep))
        return
    said = estimate.line(found.stages, slots)
    lines = [*planned_lines(found, summaries, keep=keep), *([said] if said else [])]
    write_out("\n".join(map(printable, lines)))


@with_options(["plugin"])
def list_plugins(kind: str | None = None, /, *, as_json: AsJson = False, **options: Any) -> int:
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
    if as_json:
        from bench.cli.as_json import plugins_json, print_json

        print_json(plugins_json(registry, kinds))
    else:
        print_lines(plugin_lines(registry, kinds))
    for line in (*(f"left out: {line}" for line in registry.skipped), *registry.problems):
        complain(line)
    return 2 if registry.problems else 0


@with_options(["plugin", "store"])
def show(name: str, /, *, as_json: AsJson = False, **options: Any) -> None:
    """Show a plugin with its parameters, or all that is recorded of a result.

    Parameters
    ----------
    name
        A plugin's name, kind:name where two kinds share it, or the beginning of a result's key.
    """
    from bench.api import open_registry
    from bench.cli.as_json import described_json, print_json, result_json
    from bench.cli.listing import plugins_named, result_named, show_lines
    from bench.plan.blame import blaming

    request, how = merge_options(None, options)
    registry = open_registry(request.plugin, complain)
    with blaming(f"show {shortened(name)}", "describing it"):  # a plugin's defaults may be anything
        if not as_json:
            lines = show_lines(name, registry, how.store)
        elif matching := plugins_named(name, registry):
            value = described_json(matching, registry)
        else:
            value = result_json(*result_named(name, how.store))
    if as_json:
        print_json(value)
    else:
        print_lines(lines)


@with_options([*REQUEST, "store", "stale"])
def status(study: Path | None = None, /, *, as_json: AsJson = False, **options: Any) -> None:
    """Show what a store holds, what is running and how far; with selections, how many cells are done and wait.

    Parameters
    ----------
    study
        A TOML file with the options of bench run; the command line wins over it.
    """
    from bench.cli.as_json import print_json
    from bench.cli.states import status_json, status_lines
    from bench.store.store import Store

    request, how = merge_options(study, options)
    store, keep = Store(how.store, create=False), how.stale == "keep"
    selected = request.model_fields_set - {"plugin", "data"}  # these two alone select nothing
    made = plan_of(request) if selected else None
    if as_json:
        print_json(status_json(store, made, keep=keep))
    else:
        print_lines(status_lines(store, made, keep=keep))


def plan_of(request: Request) -> "Plan":
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
