"""``bench.run``, over which the command line is a thin layer: both take the same options."""

import os
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import platformdirs

from bench.cell.validity import judged_within
from bench.engine.options import ExecutorName, RunOptions, read_options
from bench.errors import RequestError
from bench.plan.option_help import documented
from bench.plan.request import Request
from bench.records import Record
from bench.results import Results

if TYPE_CHECKING:
    from bench.engine.executor import Executor, WorkerSettings
    from bench.engine.outstanding import Work
    from bench.engine.scheduler import Listener
    from bench.plan.blame import Undoing
    from bench.plan.plan import Plan
    from bench.plan.plugin_files import PluginFile
    from bench.plan.refresh import Refresh
    from bench.plan.registry import Registry
    from bench.store.store import Store

LOST = "its result was stored and cannot be read now, or is gone; run again"


@documented(Request, RunOptions)
def run(*, listener: "Listener | None" = None, **options: Any) -> Results:
    """Run every cell of a cross-product that the store does not hold yet, and return the results of all cells.

    The options are those of the command line, and may be written as there. Switches are booleans. A selection may also
    be a list, such as ``["tac[beta=1|2]", "bna"]``, and seeds any whole numbers, such as ``range(3)``. A list may hold
    plugins themselves, also of a script or a notebook: a class stands for its name, and an instance, ``Mine(beta=2)``,
    has just the parameters that it has. ``listener`` is called with what happens, for example a
    ``bench.engine.display.Lines``; by default progress is shown on a terminal and in a notebook.

    Raises RequestError, before anything runs, if the request cannot be met. Ctrl-C finishes the stages that are running
    and starts no others; a second Ctrl-C stops at once. Both raise KeyboardInterrupt, and the same request continues
    from there later.
    """
    from bench.engine.watching import watched

    request, how = read_options(options)
    with watched(listener) as shown:
        return run_request(request, how, shown)


def run_request(request: Request, options: RunOptions, listener: "Listener | None" = None) -> Results:
    """``run`` with options that have been read and checked."""
    from bench.engine.display import Silent
    from bench.engine.estimate import others
    from bench.engine.kept import not_kept
    from bench.engine.outstanding import outstanding
    from bench.plan.plan import make_plan
    from bench.plan.refresh import refreshing

    listener = listener or Silent()
    connect = _connector(options, listener.note)
    registry = open_registry(request.plugin, listener.note, _objects(request, options))
    data = data_folder(request.data)
    plan = make_plan(request, registry, data)
    for line in registry.skipped:
        listener.note(f"left out: {line}")
    for line in plan.notes:
        listener.note(line)
    refresh = None if options.refresh is None else refreshing(plan, options.refresh)
    with_data = cache(lambda: check_data(plan, data))
    store = _prepared(options.store, with_data, refresh)
    work, records = outstanding(
        plan,
        store,
        listener.note,
        retry=options.retry,
        only=options.only,
        fresh=refresh.cells if refresh else (),
        keep=options.stale == "keep",
    )
    for line in not_kept(plan, store, records) if options.keep_networks else ():
        listener.note(line)
    tried = {stage.key for stage in work.stages}
    if work:
        with_data()
        known = [*records.values(), *others(store, records)] if hasattr(listener, "clock") else list(records.values())
        listener.known(known)
        settings = _settings(options, store.root.resolve(), data, registry.files)
        forecast = partial(_forecast, plan, work, data, options, listener)
        records |= _execute(work, lambda: connect(settings, len(work.stages)), store, listener, forecast)
    return collect(plan, store, records, listener.note, tried)


def _prepared(root: Path, with_data: Callable[[], None], refresh: "Refresh | None") -> "Store":
    """The store, without what is to be computed again. Nothing is made or removed while a data set may be missing."""
    from bench.store.store import Store

    if refresh is not None or not Store.is_there(root):
        with_data()
    store = Store(root)
    _sweep(store)
    if refresh is not None:
        refresh.drop(store)
    return store


def _connector(options: RunOptions, note: Callable[[str], None]) -> "Callable[[WorkerSettings, int], Executor]":
    """A function that makes an executor from its workers' settings and the number of stages.

    Raises RequestError here, not in that function, for devices that do not exist.
    """
    from bench.engine import devices
    from bench.engine.ray import nodes

    if options.executor == "ray":
        nodes.check_installed()
        return partial(_cluster, options=options, note=note)
    slots = devices.slots(options.device, options.workers, options.threads, options.gpu_share)
    return partial(_on_this_machine, executor=options.executor, slots=slots)


def _on_this_machine(
    settings: "WorkerSettings", stages: int, *, executor: ExecutorName, slots: list[str]
) -> "Executor":
    if executor == "inline":
        from bench.engine.inline import Inline

        return Inline(settings, slots)
    from bench.engine.local import Local

    return Local(settings, slots[:stages])


def _cluster(
    settings: "WorkerSettings", stages: int, *, options: RunOptions, note: Callable[[str], None]
) -> "Executor":
    from bench.engine.ray.cluster import Cluster

    cluster = Cluster(
        settings,
        device=options.device,
        workers=options.workers,
        gpu_share=options.gpu_share,
        address=options.address,
        stages=stages,
    )
    for line in cluster.notes:
        note(line)
    return cluster


def _settings(options: RunOptions, store: Path, data: Path, plugin_files: "tuple[PluginFile, ...]") -> "WorkerSettings":
    from bench import provenance
    from bench.engine.executor import WorkerSettings

    return WorkerSettings(
        store=store,
        data=data,
        plugin_files=plugin_files,
        options=options,
        command=provenance.current_command(),
    )


def _forecast(
    plan: "Plan", work: "Work", data: Path, options: RunOptions, listener: "Listener", executor: "Executor"
) -> None:
    """Say how long this may take, to a listener that follows the time; others learn it from what they are told."""
    from bench.engine.estimate import estimate

    clock = getattr(listener, "clock", None)
    if clock is not None:
        places = [] if options.executor == "ray" else executor.devices
        made = estimate(clock, plan, work.stages, data, places, options.threads)
        if line := made.line(work.stages, executor.slots):
            listener.note(line)


def _execute(
    work: "Work",
    connect: "Callable[[], Executor]",
    store: "Store",
    listener: "Listener",
    forecast: "Callable[[Executor], None]",
) -> dict[str, Record]:
    """Do the work. Returns the records of those failures that could not be stored, by key."""
    from bench.engine import scheduler
    from bench.engine.interruption import Interruption

    with Interruption(listener.note) as interruption:
        executor = connect()
        try:
            forecast(executor)
            return scheduler.execute(work, executor, store, listener, lambda: interruption.asked)
        finally:
            interruption.over = True
            executor.close()
            _sweep(store)


def _sweep(store: "Store") -> None:
    """Remove drafts and locks that killed processes left behind."""
    from bench.store import locks, progress

    store.sweep()
    locks.sweep(store.root)
    progress.sweep(store.root)


def _objects(request: Request, options: RunOptions) -> "list[PluginFile]":
    """The classes among the plugins of a request, for workers."""
    selected = (request.datasets, request.models, request.attacks, request.defenses)
    given = [part for one in selected if isinstance(one, tuple) for part in one if not isinstance(part, str)]
    if not given:
        return []
    from bench.plan.plugin_objects import files_of

    classes = [part if isinstance(part, type) else type(part) for part in given]
    return files_of(classes, sent=options.executor != "inline")


def open_registry(
    files: Sequence[str | Path] = (),
    note: Callable[[str], None] = lambda line: None,
    objects: "Sequence[PluginFile]" = (),
) -> "Registry":
    """The registry with these one-file plugins, and with ``objects``. Raises RequestError if one cannot be entered.

    What foreign plugins change in this process is put back; ``note`` is called with a line about it.
    """
    from bench.plan.registry import Registry

    registry = Registry([*(Path(file).resolve() for file in files), *objects], undoing=_undoing(note))
    if registry.problems:
        raise RequestError(registry.problems[0])
    return registry


def _undoing(note: Callable[[str], None]) -> "Undoing":
    """As ``bench.engine.undoing.Undoing``, which loads torch: only when the first foreign plugin is used."""

    @cache
    def made() -> "Undoing":
        from bench.engine.undoing import Undoing

        return Undoing(note)

    return lambda plugin: made()(plugin)


def collect(
    plan: "Plan",
    store: "Store",
    records: Mapping[str, Record] | None = None,
    note: Callable[[str], None] = lambda line: None,
    tried: Collection[str] = (),
) -> Results:
    """The records of a plan's cells with their verdicts: of finished cells, and the last failures of the others.

    records: by key, those that are known and not read from the store. note: called with a line about each damaged
    record. tried: keys of cells that must have one; the cell has failed if it has not. Names of plugins and what the
    defender was given are in the words of this plan, which may differ from those of the request that made the record.
    """
    from bench.engine.outstanding import read_record

    collected = []
    for cell in plan.cells:
        record = (records or {}).get(cell.key)
        record = record or read_record(store, "cells", cell.key, note) or read_record(store, "failures", cell.key, note)
        if record is None and cell.key in tried:
            record = Record(**cell.columns, status="failed", reason=LOST)
        if record is not None:
            collected.append(record.model_copy(update=cell.words))
    return Results(judged_within(store, collected), store.root)


def data_folder(data: str | Path | None) -> Path:
    """The folder of the data sets: ``data``, else $DEFENSEBENCH_DATA, else one in the user's cache directory."""
    chosen = data or os.environ.get("DEFENSEBENCH_DATA") or platformdirs.user_cache_path("defensebench") / "data"
    return Path(chosen).expanduser().resolve()


def check_data(plan: "Plan", data: Path) -> None:
    """Let every data set of a plan download and decode what is missing, before any work starts."""
    from bench.plugin.dataset import Dataset

    for ref in {victim.dataset.label: victim.dataset for victim in plan.victims}.values():
        dataset = plan.plugin(ref)
        if isinstance(dataset, Dataset):
            with plan.registry.asking("dataset", dataset.name, "prepare"):
                dataset.prepare(data)
                if ref.foreign:
                    dataset.splits(data)  # so that what is wrong with it is said once, before any work starts
