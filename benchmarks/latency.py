"""What every runtime defense adds to the latency of inference.

    python benchmarks/latency.py [cpu | cuda]

A BadNets victim of the quick profile (4,000 digits, slim ResNet-18) is trained, and every runtime defense, with that
profile's parameters, guards it. Milliseconds a sample on the clean test images, in batches of 256 and one by one, are
medians of rounds in which the bare network and all guards take turns; the ratio is to the bare network.
"""

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import torch
from torch import Tensor

import bench
from bench.api import data_folder, open_registry
from bench.cell.loaded import LoadedVictim
from bench.cell.reference import known
from bench.cell.workshop import Workshop
from bench.plan.plan import make_plan
from bench.plan.request import Request
from bench.plugin import Runtime
from bench.plugin.values import Context
from bench.store.store import Store
from bench.toolbox.inference import Answers

ROUNDS = 7
SINGLE = 40  # images that pass one by one in a round


def main() -> None:
    device = torch.device(sys.argv[1] if len(sys.argv) > 1 else "cpu")
    registry = open_registry()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "store"
        bench.run(attacks="badnets", defenses="none", store=root, executor="inline", device=str(device))
        shop = Workshop(registry, Store(root), data_folder(None), device)
        plan = make_plan(Request(attacks="badnets"), registry, data_folder(None))
        test = None
        calls: dict[str, Callable[[Tensor], object]] = {}
        for cell in plan.cells:
            defense = shop.plugin(cell.defense)
            if cell.defense.name == "none":
                calls["bare network"] = Answers(LoadedVictim.read(cell.victim, shop).network())
                test = shop.splits(cell.victim.dataset).test.floats
            elif isinstance(defense, Runtime):
                victim = LoadedVictim.read(cell.victim, shop)
                context = Context(device, shop.generator(cell.key, "defense"))
                calls[cell.defense.name] = defense.guard(victim.network(), known(cell, victim), context)
        assert test is not None
        for title, batches in {"batches of 256": test.split(256), "one by one": test[:SINGLE].split(1)}.items():
            report(title, calls, batches, device)


@torch.no_grad()
def report(
    title: str, calls: dict[str, Callable[[Tensor], object]], batches: tuple[Tensor, ...], device: torch.device
) -> None:
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(ROUNDS + 1):
        for name, call in calls.items():
            start = time.perf_counter()
            for batch in batches:
                call(batch)
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            seconds[name].append(time.perf_counter() - start)
    count = sum(map(len, batches))
    medians = {name: median(runs[1:]) for name, runs in seconds.items()}  # the first round warms up
    print(f"{device}, {torch.get_num_threads()} threads, clean images, {title}")
    for name, value in medians.items():
        ratio = value / medians["bare network"]
        print(f"  {name:14s} {1000 * value / count:8.3f} ms a sample   {ratio:7.2f} of the bare network")


if __name__ == "__main__":
    main()
