"""The Python interface: ``bench.run`` takes what the command line takes. The command line is a thin skin over it."""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import platformdirs

from bench.cell.validity import judged
from bench.errors import Damaged, RequestError
from bench.records import Record, to_frame

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from bench.engine.executor import Executor, WorkerSettings
    from bench.engine.scheduler import Listener
    from bench.plan.plan import Plan
    from bench.plan.registry import Registry
    from bench.store.store import Store

DEFAULT_STORE = Path("bench-store")
EXECUTORS = ("local", "inline", "ray")
ExecutorName = Literal["local", "inline", "ray"]


@dataclass(frozen=True)
class Results:
    """The records of a request, in the order of its table."""

    records: list[Record]

    @cached_property
    def frame(self) -> "pd.DataFrame":
        """One row a cell; the columns are the fields of ``bench.records.Record``."""
        return to_frame(self.records)

    @property
    def ok(self) -> bool:
        """Whether every cell is done or not applicable."""
        return all(record.status in ("done", "not-applicable") for record in self.records)


def run(
    *,
    defenses: str = "all",
    attacks: str = "all",
    models: str | None = None,
    datasets: str | None = None,
    recipes: str | None = None,
    seeds: Iterable[int] | None = None,
    profile: str = "quick",
    reference: str | int | None = None,
    suspects: int | None = None,
    store: str | Path = DEFAULT_STORE,
    data: str | Path | None = None,
    executor: str = "local",
    workers: int | None = None,
    threads: int = 1,
    device: str = "auto",
    gpu_share: float = 1.0,
    address: str | None = None,
    deterministic: bool = False,
    compile: bool = False,
    timeout: float | None = None,
    retry: str | None = None,
    refresh: str | None = None,
    only: str | None = None,
    plugin: Sequence[str | Path] = (),
    listener: "Listener | None" = None,
) -> Results:
    """Run every cell of a cross-product that the store does not hold yet, and return all of them.

    Selections are texts as on the command line, such as ``"tac[beta=1|2],bna"``. ``reference``: a number of clean
    images or a share ("5%"). ``threads``: per worker. ``gpu_share``: the part of a GPU that a worker needs, in (0, 1].
    ``timeout``: seconds for one stage (not inline). ``address``: the Ray cluster to join (executor ray; default: a Ray
    of its own). ``deterministic``: take only algorithms that give the same bits every time; a stage that needs another
    one fails. ``compile``: compile networks before they are trained.

    ``retry="failed"``: of what is not done, only cells that failed or ran into the timeout earlier;
    ``only="missing"``: only cells that did not. ``refresh``: names of plugins whose stages are computed again.

    Ctrl-C stops after the stages in flight, a second one at once; both raise KeyboardInterrupt, and the same request
    goes on from there. Raises RequestError, before anything runs, if the request cannot be met.
    """
    from bench import provenance
    from bench.engine import devices, scheduler
    from bench.engine.display import Silent
    from bench.engine.executor import Executor, WorkerSettings
    from bench.engine.interruption import Interruption
    from bench.engine.outstanding import outstanding
    from bench.engine.ray import nodes
    from bench.plan.refresh import refreshing
    from bench.store import locks
    from bench.store.store import Store

    if executor not in EXECUTORS:
        raise RequestError(f"--executor {executor}: expected one of {', '.join(EXECUTORS)}")
    if Path(store).parts[:1] and Path(store).parts[0].endswith(":"):  # what is left of s3://… in a path
        raise RequestError(f"--store {store}: expected a directory; a URL is none")
    if timeout is not None and timeout <= 0:
        raise RequestError(f"--timeout {timeout:g}: expected more than 0 seconds")
    if retry not in (None, "failed"):
        raise RequestError(f"--retry {retry}: expected failed")
    if only not in (None, "missing"):
        raise RequestError(f"--only {only}: expected missing")
    if retry and only:
        raise RequestError("--retry failed --only missing: expected one of them; together they leave nothing to do")
    told = listener or Silent()
    if address is not None and executor != "ray":
        raise RequestError(f"--address {address}: goes with --executor ray, not with {executor}")
    make: Callable[[WorkerSettings, int], Executor]
    if executor == "ray":
        nodes.check(device, workers, threads, gpu_share)
        make = partial(_cluster, device=device, workers=workers, gpu_share=gpu_share, address=address, note=told.note)
    else:
        make = partial(_engine, executor, devices.slots(device, workers, threads, gpu_share))
    registry = open_registry(plugin)
    folder = data_folder(data)
    plan = plan_of(
        registry,
        folder,
        defenses=defenses,
        attacks=attacks,
        models=models,
        datasets=datasets,
        recipes=recipes,
        seeds=seeds,
        profile=profile,
        reference=reference,
        suspects=suspects,
    )
    for line in registry.skipped:
        told.note(f"left out: {line}")
    again = refreshing(plan, refresh) if refresh is not None else None
    kept = Store(Path(store))
    kept.sweep()
    locks.sweep(kept.root)
    if again is not None:
        again.drop(kept)
    fresh = again.cells if again else ()
    work, known = outstanding(plan, kept, told.note, retry=retry, only=only, fresh=fresh)
    if work:
        check_data(plan, folder)
        told.known(known.values())
        site = WorkerSettings(
            store=kept.root.resolve(),
            data=folder,
            plugin_files=tuple(registry.files),
            threads=threads,
            timeout=timeout,
            command=provenance.current(),
            deterministic=deterministic,
            compiled=compile,
        )
        with Interruption(told.note) as interruption:
            engine = make(site, len(work.stages))
            try:
                known |= scheduler.execute(work, engine, kept, told, lambda: interruption.asked)
            finally:
                interruption.over = True
                engine.close()
                kept.sweep()
                locks.sweep(kept.root)
    return collect(plan, kept, known, told.note)


def _engine(name: str, slots: list[str], site: "WorkerSettings", stages: int) -> "Executor":
    if name == "inline":
        from bench.engine.inline import Inline

        return Inline(site, slots)
    from bench.engine.local import Local

    return Local(site, slots[:stages])


def _cluster(site: "WorkerSettings", stages: int, *, note: Callable[[str], None], **wanted: Any) -> "Executor":
    from bench.engine.ray.cluster import Cluster

    cluster = Cluster(site, **wanted, stages=stages)
    for line in cluster.notes:
        note(line)
    return cluster


def open_registry(plugin: Sequence[str | Path] = ()) -> "Registry":
    """The registry with these one-file plugins; RequestError if one of them cannot be used."""
    from bench.plan.registry import Registry

    registry = Registry([Path(file).resolve() for file in plugin])
    if registry.problems:
        raise RequestError(registry.problems[0])
    return registry


def plan_of(
    registry: "Registry",
    data: Path,
    *,
    seeds: Iterable[int] | None = None,
    reference: str | int | None = None,
    **selections: Any,
) -> "Plan":
    """The plan of a request, given as to ``run``."""
    from bench.plan.plan import Request, make_plan

    request = Request(
        seeds=None if seeds is None else tuple(seeds),
        reference=None if reference is None else str(reference),
        **selections,
    )
    return make_plan(request, registry, data)


def collect(
    plan: "Plan",
    store: "Store",
    known: Mapping[str, Record] | None = None,
    note: Callable[[str], None] = lambda line: None,
) -> Results:
    """The records of a plan's cells, judged together: finished ones, and the last failures of the others.

    ``known``: those that need not be read again, by key. They carry the names by which this plan asks for them: the
    request that made them may have spelled out parameters.
    """
    from bench.engine.outstanding import read_record

    found = []
    for cell in plan.cells:
        record = (known or {}).get(cell.key)
        record = record or read_record(store, "cells", cell.key, note) or read_record(store, "failures", cell.key, note)
        if record is not None:
            found.append(record.model_copy(update=cell.labels))
    return Results(judged(found))


def data_folder(data: str | Path | None) -> Path:
    """Where data sets lie: as given, else $DEFENSEBENCH_DATA, else the user's cache directory."""
    chosen = data or os.environ.get("DEFENSEBENCH_DATA") or platformdirs.user_cache_path("defensebench") / "data"
    return Path(chosen).expanduser().resolve()


def check_data(plan: "Plan", data: Path) -> None:
    """Let every data set look for its files, once, before any work starts."""
    from bench.plugin.dataset import Dataset

    for ref in {victim.dataset.label: victim.dataset for victim in plan.victims}.values():
        dataset = plan.plugin(ref)
        if isinstance(dataset, Dataset):
            dataset.prepare(data)


def pictures(
    store: "Store", frame: "pd.DataFrame", damaged: Callable[[Damaged], object]
) -> "Mapping[str, tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]]":
    """Clean and triggered test images (N, H, W, C) in [0, 1] of every attack in a frame, by its label.

    Those that are damaged are left out and handed to ``damaged``.
    """
    found = {}
    for label, key in frame[["attack_label", "victim_key"]].drop_duplicates("attack_label").itertuples(index=False):
        if store.has("victims", key):
            try:
                images = store.arrays("victims", key, "pictures.safetensors")
            except Damaged as error:
                damaged(error)
                continue
            if len(images["clean"]):
                clean, triggered = (images[part].transpose(0, 2, 3, 1) / 255 for part in ("clean", "triggered"))
                found[label] = clean, triggered
    return found
