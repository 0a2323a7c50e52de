"""What a worker does with a stage: lock it, run it, and turn whatever happens into an outcome that can be sent."""

import gc
import time
import traceback
from collections.abc import Callable
from functools import partial

import torch

from bench.cell.apart.defender import PROCESS as DEFENDER
from bench.cell.apart.forks import Forks
from bench.cell.apart.messages import LONGEST_TRACEBACK
from bench.cell.apart.stage import make_stage
from bench.cell.workshop import Workshop
from bench.engine import devices
from bench.engine.executor import Outcome, Status, WorkerSettings
from bench.errors import Damaged, Died, Elsewhere, is_out_of_memory, one_line, shortened
from bench.plan.registry import Registry
from bench.plan.stages import CellStage, Stage
from bench.provenance import Maker
from bench.store import locks
from bench.store.store import Store


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
    workshop = Workshop(registry, store, settings.data, torch.device(device), progress, maker)
    if options.executor != "inline":
        workshop.forks = forks = Forks(options.model_copy(update={"nice": 0}).set_up_process)  # a process inherits that
        if settings.plugin_files:
            forks.start()
        workshop.defense_process = partial(forks.process, DEFENDER, "the defense's process")
    return workshop


def work(stage: Stage, workshop: Workshop, slot: int) -> Outcome:
    """Run a stage, unless another process is computing it or has just finished it.

    What the stage raises becomes its outcome, except KeyboardInterrupt.
    """
    workshop.progress(0.0)
    outcome = _outcome(stage, workshop, slot)
    if workshop.device.type == "cuda":  # for the other workers of this GPU, and for this one's next stage
        if outcome.status == "memory":
            gc.collect()
        torch.cuda.empty_cache()
    return outcome


def _outcome(stage: Stage, workshop: Workshop, slot: int) -> Outcome:
    began = time.perf_counter()
    try:
        with locks.lock(workshop.store.root, stage.key) as locked:
            if not locked:
                return Outcome(slot, stage, "busy", 0.0)
            if workshop.store.has(stage.section, stage.key):
                return Outcome(slot, stage, "done", 0.0)
            began = time.perf_counter()
            log = make_stage(stage, workshop)
            return Outcome(slot, stage, "done", time.perf_counter() - began, log=tuple(log.lines))
    except Damaged as error:
        return Outcome(slot, stage, "damaged", 0.0, str(error), damaged=(error.section, error.key))
    except (Exception, SystemExit, GeneratorExit) as error:  # whatever a plugin raises fails only its own stage
        if isinstance(stage, CellStage) and not workshop.store.has("victims", stage.victim.key):
            victim = "victims", stage.victim.key
            return Outcome(slot, stage, "damaged", 0.0, f"{'/'.join(victim)}: is no longer there", damaged=victim)
        trace = error.trace if isinstance(error, Elsewhere) else traceback.format_exc()
        trace = shortened(trace, LONGEST_TRACEBACK)
        return Outcome(slot, stage, _status(error), time.perf_counter() - began, one_line(error), trace)


def _status(error: BaseException) -> Status:
    if isinstance(error, Died):
        return "memory" if error.killed else "died"
    return "memory" if is_out_of_memory(error) else "failed"
