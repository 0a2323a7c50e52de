"""What a worker does with a stage: claim it, run it, and turn whatever happens into an outcome that can be sent."""

import gc
import time
import traceback
from collections.abc import Callable

import torch

from bench import provenance
from bench.cell.defend import make_cell
from bench.cell.victim import make_victim
from bench.cell.workshop import Workshop
from bench.engine import devices
from bench.engine.executor import Outcome, Site, Status
from bench.errors import Damaged, one_line
from bench.plan.registry import Registry
from bench.plan.stages import CellStage, Stage, VictimStage
from bench.store import locks
from bench.store.store import Store


def open_workshop(site: Site, device: str, progress: Callable[[float], None]) -> Workshop:
    """A worker's workshop: its own registry, on its device, with its number of threads."""
    torch.set_num_threads(site.threads)
    devices.set_deterministic(site.deterministic)
    store = Store(site.store, create=False)
    registry = Registry(site.plugin_files)
    name = provenance.device_name(torch.device(device))
    maker = provenance.Maker(site.command, name, site.threads, site.deterministic, site.compiled)
    return Workshop(registry, store, site.data, torch.device(device), progress, maker)


def work(stage: Stage, shop: Workshop, slot: int) -> Outcome:
    """Run a stage that may raise anything, unless another process has it in work or has just finished it."""
    shop.progress(0.0)
    outcome = _outcome(stage, shop, slot)
    if shop.device.type == "cuda":  # for the other workers of this GPU, and for this one's next stage
        if outcome.status == "memory":
            gc.collect()
        torch.cuda.empty_cache()
    return outcome


def _outcome(stage: Stage, shop: Workshop, slot: int) -> Outcome:
    began = time.perf_counter()
    try:
        with locks.claim(shop.store.root, stage.key) as mine:
            if not mine:
                return Outcome(slot, stage, "busy", 0.0)
            if shop.store.has("victims" if isinstance(stage, VictimStage) else "cells", stage.key):
                return Outcome(slot, stage, "done", 0.0)
            began = time.perf_counter()
            if isinstance(stage, VictimStage):
                make_victim(stage, shop)
            else:
                make_cell(stage, shop)
            return Outcome(slot, stage, "done", time.perf_counter() - began)
    except Damaged as error:
        return Outcome(slot, stage, "damaged", 0.0, str(error), damaged=(error.room, error.key))
    except (Exception, SystemExit) as error:  # a plugin may raise anything, and fails only its own stage
        if isinstance(stage, CellStage) and not shop.store.has("victims", stage.victim.key):
            gone = "victims", stage.victim.key
            return Outcome(slot, stage, "damaged", 0.0, f"{'/'.join(gone)}: is not there any more", damaged=gone)
        status: Status = "memory" if _out_of_memory(error) else "failed"
        return Outcome(slot, stage, status, time.perf_counter() - began, one_line(error), traceback.format_exc())


def _out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out: Python's own, a GPU's, or in torch's allocator on the CPU, which has no error class."""
    kinds = MemoryError, torch.OutOfMemoryError
    return isinstance(error, kinds) or (isinstance(error, RuntimeError) and "DefaultCPUAllocator" in str(error))
