"""What a worker does with a stage: lock it, run it, and turn whatever happens into an outcome that can be sent."""

import gc
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

import torch

from bench.cell.apart.defender import PROCESS as DEFENDER
from bench.cell.apart.forks import Forks
from bench.cell.apart.messages import LONGEST_TRACEBACK
from bench.cell.apart.seeds import seed_all
from bench.cell.apart.stage import make_stage
from bench.cell.verdicts import measured
from bench.cell.workshop import Workshop
from bench.engine import devices, process_group
from bench.engine.executor import Outcome, Status, WorkerSettings
from bench.engine.process_state import Snapshot
from bench.errors import Damaged, Died, Elsewhere, is_out_of_memory, one_line, shortened, whole_trace
from bench.plan import identity
from bench.plan.recipes import recipe
from bench.plan.registry import Registry
from bench.plan.stages import ImportedVictim, Stage, VictimStage
from bench.provenance import Maker
from bench.store import locks, progress
from bench.store.store import SECTIONS, Store


def open_workshop(settings: WorkerSettings, device: str, progress: Callable[[float], None]) -> Workshop:
    """A worker's workshop, with a registry of its own. What the options set, they set for the process.

    ``progress`` is called with the share of a stage that is done. Raises RequestError if the store is not there.
    """
    options = settings.options
    options.set_up_process()
    store = Store(settings.store, create=False)
    registry = Registry(settings.plugin_files, lazily=True)
    name = devices.full_name(torch.device(device))
    maker = Maker(settings.command, name, options.threads, options.deterministic, options.compile)
    workshop = Workshop(registry, store, settings.data, torch.device(device), progress, maker)
    workshop.keep_networks = options.keep_networks
    if options.executor != "inline":
        workshop.forks = forks = Forks(options.model_copy(update={"nice": 0}).set_up_process)  # a process inherits that
        if settings.plugin_files:
            forks.start()
        workshop.defense_process = partial(forks.process, DEFENDER, "the defense's process")
    return workshop


def work(stage: Stage, workshop: Workshop, slot: int, *, restoring: bool = False) -> Outcome:
    """Run a stage, unless another process is computing it or has just finished it.

    What the stage raises becomes its outcome, except KeyboardInterrupt. The outcome says what the stage left changed in
    this process, which is then to be replaced. Processes that it left running are ended if this one leads a group
    (``bench.engine.process_group``). With ``restoring``, for a process that cannot be replaced, what was changed is put
    back as far as that is possible.
    """
    workshop.progress(0.0)
    process, before = os.getpid(), Snapshot.take()
    seed_all(identity.seed(stage.key, "global"))  # the harness draws from none; a plugin may
    try:
        outcome = _outcome(stage, workshop, slot)
    finally:
        if os.getpid() != process:  # a copy, which the plugin forked and did not end
            os._exit(1)
    changed = before.changes()
    if restoring and changed:
        before.restore()
    changed += _ended(workshop)
    if workshop.device.type == "cuda":  # for the other workers of this GPU, and for this one's next stage
        if outcome.status == "memory":
            gc.collect()
        torch.cuda.empty_cache()
    return replace(outcome, changed=changed)


def _outcome(stage: Stage, workshop: Workshop, slot: int) -> Outcome:
    began = time.perf_counter()
    try:
        with locks.lock(workshop.store.root, stage.key) as locked:
            if not locked:
                return Outcome(slot, stage, "busy", 0.0, locks.owner(workshop.store.root, stage.key))
            if workshop.store.has(stage.section, stage.key):
                return Outcome(slot, stage, "done", 0.0)
            began = time.perf_counter()
            with _shown(stage, workshop):
                log = make_stage(stage, workshop)
            seconds = time.perf_counter() - began
            return Outcome(slot, stage, "done", seconds, log=tuple(log.lines), measured=measured(stage, workshop.store))
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # whatever a plugin raises fails only its own stage
        if isinstance(error, Damaged) and _is_of(error, stage):
            return Outcome(slot, stage, "damaged", 0.0, str(error), damaged=(error.section, error.key))
        if gone := [parent.key for parent in stage.parents if not workshop.store.has("victims", parent.key)]:
            victim = "victims", gone[0]
            return Outcome(slot, stage, "damaged", 0.0, f"{'/'.join(victim)}: is no longer there", damaged=victim)
        trace = error.trace if isinstance(error, Elsewhere) else whole_trace(error)
        trace = shortened(trace, LONGEST_TRACEBACK)
        return Outcome(slot, stage, _status(error), time.perf_counter() - began, one_line(error), trace)


@contextmanager
def _shown(stage: Stage, workshop: Workshop) -> Iterator[None]:
    """Inside, the progress of the stage is written down in the store too, for ``bench status``."""
    before = workshop.progress
    is_trained = isinstance(stage, VictimStage) and not isinstance(stage, ImportedVictim)
    epochs = recipe(stage.recipe).epochs if isinstance(stage, VictimStage) and is_trained else 0
    with progress.written(workshop.store.root, stage.key, stage.title, epochs) as write:

        def both(share: float) -> None:
            before(share)
            write(share)

        workshop.progress = both
        try:
            yield
        finally:
            workshop.progress = before


def _is_of(error: Damaged, stage: Stage) -> bool:
    """Whether what is damaged is the stage's own, or of a victim that it needs: a plugin may raise anything."""
    return error.section in SECTIONS and error.key in {one.key for one in (stage, *stage.parents)}


def _status(error: BaseException) -> Status:
    if isinstance(error, Died):
        return "memory" if error.killed else "died"
    return "memory" if is_out_of_memory(error) else "failed"


def _ended(workshop: Workshop) -> tuple[str, ...]:
    """End what the stage left running; how much that was, in words that go on after "left"."""
    if (compiling := sys.modules.get("torch._inductor.async_compile")) is not None:
        compiling.shutdown_compile_workers()  # torch starts them again when it needs them
    keeper = workshop.forks.keeper if workshop.forks else None
    count = process_group.end_others(() if keeper is None else (keeper,))
    return (f"{count} process{'es' if count > 1 else ''} running",) if count else ()
