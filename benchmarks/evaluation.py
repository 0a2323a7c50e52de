"""A whole command against a bare loop that does the same work.

    python benchmarks/evaluation.py DATA [cpu | cuda] [MODEL] [THREADS]

DATA holds CIFAR-10. One victim of BadNets (2,000 training images, 2 epochs in batches of 128) and its cell ``none``,
with the whole test set without and with the trigger. MODEL is preact_resnet18 unless another selection is given.
bare      plain PyTorch, single precision, the usual layout: the training steps, and the forward passes of a tenth of
          the test inputs, times ten;
command   ``bench run`` as a process, from its start to its end; training and evaluation as it noted them;
none      the cell alone, made again in this process.
Bare loops are timed before and after the command, and the ratios are to their mean: on a loaded machine they tell more
than the seconds.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import mean

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.api import open_registry
from bench.cell.make import make
from bench.cell.workshop import Workshop
from bench.plan.plan import make_plan
from bench.plan.request import Request
from bench.plan.stages import CellStage
from bench.plugin.dataset import Dataset
from bench.plugin.model import Model
from bench.plugin.values import LabelledImages
from bench.store.store import Store

TRAINED, EPOCHS, BATCH, EVALUATED = 2000, 2, 128, 250
PART = 10  # of the test inputs pass the bare network: one in so many


def main() -> None:
    data = Path(sys.argv[1])
    device = torch.device(sys.argv[2] if len(sys.argv) > 2 else "cpu")
    model = sys.argv[3] if len(sys.argv) > 3 else "preact_resnet18"
    threads = int(sys.argv[4]) if len(sys.argv) > 4 else os.cpu_count() or 1
    torch.set_num_threads(threads)
    asked = {
        "datasets": f"cifar10[train_size={TRAINED}]",
        "models": model,
        "attacks": "badnets",
        "defenses": "none",
        "recipes": f"paper[epochs={EPOCHS},batch_size={BATCH}]",
    }
    registry = open_registry()
    [cell] = make_plan(Request.model_validate(asked), registry, data).cells
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "store"
        shop = Workshop(registry, Store(root), data, device)
        loops = bare_loops(shop, cell)
        bare = [{name: loop() for name, loop in loops.items()}]
        command = whole_command(asked, root, data, device, threads)
        bare.append({name: loop() for name, loop in loops.items()})
        facts = shop.store.read_json("victims", cell.victim.key, "stage.json")
        shop.store.forget("cells", cell.key)
        alone = seconds(lambda: make(cell, shop), device)
    trained, evaluated = (mean(run[name] for run in bare) for name in ("training", "evaluation"))
    print(
        f"{device}, {threads} threads, {model}, {TRAINED} images, {EPOCHS} epochs, {facts['n_test']} test images twice"
    )
    lines = {
        "training": (facts["train_seconds"], trained),
        "evaluation": (facts["inference_seconds"], evaluated),
        "cell none": (alone, evaluated),
        "command": (command, trained + evaluated),
    }
    for name, (own, loop) in lines.items():
        print(f"{name:11s} {own:8.1f} s   bare {loop:8.1f} s   {own / loop:6.3f} of it")


def whole_command(asked: dict[str, str], root: Path, data: Path, device: torch.device, threads: int) -> float:
    """The seconds of ``bench run`` with these selections."""
    options = {**asked, "store": root, "data": data, "device": device, "threads": threads, "workers": 1}
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    start = time.perf_counter()
    subprocess.run([sys.executable, "-m", "bench", "run", *words], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def bare_loops(shop: Workshop, cell: CellStage) -> dict[str, Callable[[], float]]:
    """The seconds of the training, and of the evaluation of all inputs, in plain PyTorch, by name."""
    model: Model = shop.plugin(cell.victim.model)
    dataset: Dataset = shop.plugin(cell.victim.dataset)
    splits = shop.splits(cell.victim.dataset)
    network = model.build(dataset.spec).to(shop.device)
    inputs = splits.test.images[: 2 * len(splits.test) // PART]
    return {
        "training": lambda: seconds(lambda: trained(network, splits.train), shop.device),
        "evaluation": lambda: PART * seconds(lambda: evaluated(network, inputs), shop.device),
    }


def trained(network: nn.Module, data: LabelledImages) -> None:
    network.train()
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-3, momentum=0.9, weight_decay=5e-4)
    for _ in range(EPOCHS):
        for index in torch.randperm(len(data), device=data.labels.device).split(BATCH):
            loss = F.cross_entropy(network(data.images[index].float() / 255), data.labels[index])
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()


@torch.no_grad()
def evaluated(network: nn.Module, pixels: Tensor) -> None:
    network.eval()
    for part in pixels.split(EVALUATED):
        network(part.float() / 255).argmax(1)


def seconds(work: Callable[[], object], device: torch.device) -> float:
    start = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
