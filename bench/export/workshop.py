"""A workshop in this process, for what an export computes again."""

from pathlib import Path

import torch

from bench.cell.workshop import Workshop
from bench.engine import devices
from bench.engine.options import RunOptions
from bench.plan.registry import Registry
from bench.store.store import Store


def workshop(store: Store, registry: Registry, data: Path, how: RunOptions) -> Workshop:
    """A workshop on the first device that ``how`` names. Raises RequestError for one that is not there."""
    [device] = devices.slots(how.device, 1, how.threads)
    how.set_up_process()
    return Workshop(registry, store, data, torch.device(device))
