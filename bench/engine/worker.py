"""What a worker does with a stage: lock it, run it, and turn whatever happens into an outcome that can be sent."""

import gc
import os
import random
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch

from bench.cell.make import make
from bench.cell.workshop import Workshop
from bench.engine import devices, process_group
from bench.engine.executor import Outcome, Status, WorkerSettings
from bench.engine.process_state import Snapshot
from bench.errors import Damaged, one_line, shortened
from bench.plan import identity
from bench.plan.registry import Registry
from bench.plan.stages import CellStage, Stage
from bench.provenance import Maker
from bench.store import locks
from bench.store.store import Store

LONGEST_TRACEBACK = 100_000  # characters; beyond these its middle is left out


def open_workshop(settings: WorkerSettings, device: str, progress: Callable[[float], None]) -> Workshop:
    """A worker's workshop, with a registry of its own. What the options set, they set for the process.

    ``progress`` is called with the share of a stage that is done. Raises RequestError if the store is not there.
    """
    options = settings.options
    options.set_up_process()
    store = Store(settings.store, create=False)
    registry = Registry(settings.plugin_files)
    name = devices.full_name(torch.device(device))
    maker = Maker(settings.command, name, options.threads, options.deterministic, options.compile)
    return Workshop(registry, store, settings.data, torch.device(device), progress, maker)


def work(stage: Stage, workshop: Workshop, slot: int, *, restoring: bool = False) -> Outcome:
    """Run a stage, unless another process is computing it or has just finished it.

    What the stage raises becomes its outcome, except KeyboardInterrupt. The outcome says what the stage left changed in
    this process, which is then to be replaced. Processes that it left running are ended if this one leads a group
    (``bench.engine.process_group``). With ``restoring``, for a process that cannot be replaced, what was changed is put
    back as far as that is possible.
    """
    workshop.progress(0.0)
    process, before = os.getpid(), Snapshot.take()
    _seed_globally(stage.key)
    try:
        outcome = _outcome(stage, workshop, slot)
    finally:
        if os.getpid() != process:  # a copy, which the plugin forked and did not end
            os._exit(1)
    changed = before.changes()
    if restoring:
        before.restore()
    changed += _ended()
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
            log = make(stage, workshop)
            return Outcome(slot, stage, "done", time.perf_counter() - began, log=tuple(log.lines))
    except Damaged as error:
        return Outcome(slot, stage, "damaged", 0.0, str(error), damaged=(error.section, error.key))
    except (Exception, SystemExit, GeneratorExit) as error:  # whatever a plugin raises fails only its own stage
        if isinstance(stage, CellStage) and not workshop.store.has("victims", stage.victim.key):
            victim = "victims", stage.victim.key
            return Outcome(slot, stage, "damaged", 0.0, f"{'/'.join(victim)}: is no longer there", damaged=victim)
        status: Status = "memory" if _out_of_memory(error) else "failed"
        trace = shortened(traceback.format_exc(), LONGEST_TRACEBACK)
        return Outcome(slot, stage, status, time.perf_counter() - began, one_line(error), trace)


def _ended() -> tuple[str, ...]:
    """End what the stage left running; how much that was, in words that go on after "left"."""
    if (compiling := sys.modules.get("torch._inductor.async_compile")) is not None:
        compiling.shutdown_compile_workers()  # torch starts them again when it needs them
    count = process_group.end_others()
    return (f"{count} process{'es' if count > 1 else ''} running",) if count else ()


def _seed_globally(key: str) -> None:
    """Seed the generators that all of a process shares. The harness draws from none; a plugin may.

    So its numbers depend on its stage and not on what this worker did before.
    """
    seed = identity.seed(key, "global")
    torch.manual_seed(seed)
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002 - the old, global one


def _out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out: Python's own, a GPU's, or in torch's allocator on the CPU, which has no error class."""
    kinds = MemoryError, torch.OutOfMemoryError
    return isinstance(error, kinds) or (isinstance(error, RuntimeError) and "DefaultCPUAllocator" in str(error))
