"""What a worker does with a stage: run it, and turn whatever happens into an outcome that can be sent."""

import time
import traceback
from collections.abc import Callable

import torch

from bench.executors import Outcome, Site
from bench.plan import Stage, VictimStage
from bench.registry import Registry
from bench.stages import Workshop, make_cell, make_victim
from bench.store import Store


def open_workshop(site: Site, device: str, progress: Callable[[float], None]) -> Workshop:
    """A worker's workshop: its own registry, on its device, with its number of threads."""
    torch.set_num_threads(site.threads)
    store = Store(site.store, create=False)
    return Workshop(Registry(site.plugin_files), store, site.data, torch.device(device), progress, site.command)


def work(stage: Stage, shop: Workshop, slot: int) -> Outcome:
    """Run a stage that may raise anything."""
    began = time.perf_counter()
    shop.progress(0.0)
    try:
        if isinstance(stage, VictimStage):
            make_victim(stage, shop)
        else:
            make_cell(stage, shop)
    except Exception as error:  # a plugin may raise anything, and fails only its own stage
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
        return Outcome(slot, stage, "failed", time.perf_counter() - began, reason, traceback.format_exc())
    return Outcome(slot, stage, "done", time.perf_counter() - began)
