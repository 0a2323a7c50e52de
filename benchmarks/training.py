"""The training loop against what limits it, and against the usual loop.

    python benchmarks/training.py [cpu | cuda] [width] [compiled]

One network (ResNet-18 of the given width, 64 by default, for images of 32x32 pixels), batches of 128, random pixels:
bare    forward, backward and step on one fixed batch that lies on the device: the physical limit;
ours    ``bench.training.train`` on the whole set, with crops and flips;
usual   a DataLoader over PIL images with torchvision's transforms, 0 and 2 workers, in single precision;
compiled  ours behind torch.compile, if asked for: the seconds of its first round say what has to be earned back.
Images a second are medians of rounds in which all take turns; the ratios are between the medians.
"""

import sys
import time
from collections.abc import Callable, Iterator
from statistics import median
from typing import Any

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from bench.models.resnet18 import ResNet18
from bench.plan.recipes import RECIPES
from bench.plugin.values import ImageSpec, LabelledImages
from bench.toolbox.training import autocast, train

SPEC = ImageSpec(3, 32, 32, 10, mean=(0.49, 0.48, 0.45), std=(0.25, 0.24, 0.26))
BATCH, STEPS, ROUNDS = 128, 12, 5
RECIPE = RECIPES["paper"].model_copy(update={"epochs": 1, "batch_size": BATCH})


def main() -> None:
    device = torch.device(sys.argv[1] if len(sys.argv) > 1 else "cpu")
    width = int(sys.argv[2]) if len(sys.argv) > 2 else 64
    steps = STEPS if device.type == "cpu" else 20 * STEPS
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (BATCH * steps, *SPEC.shape), generator=generator, dtype=torch.uint8)
    data = LabelledImages(pixels, torch.arange(len(pixels)) % SPEC.classes)
    on_device = data.to(device)
    loops: dict[str, Callable[[], None]] = {
        "bare": bare(network(width, device), on_device, steps),
        "ours": ours(network(width, device), on_device),
        "usual, 0 workers": usual(network(width, device), data, 0, device),
        "usual, 2 workers": usual(network(width, device), data, 2, device),
    }
    if "compiled" in sys.argv:
        loops["compiled"] = ours(network(width, device), on_device, compiled=True)
    seconds: dict[str, list[float]] = {name: [] for name in loops}
    for _ in range(ROUNDS + 1):
        for name, loop in loops.items():
            seconds[name].append(timed(loop, device))
    rates = {name: len(data) / median(runs[1:]) for name, runs in seconds.items()}  # the first round warms up
    print(f"{device}, {torch.get_num_threads()} threads, ResNet-18 width {width}, {steps} batches of {BATCH}")
    for name, rate in rates.items():
        print(f"{name:18s} {rate:9.0f} images/s   {rates['ours'] / rate:5.2f} ours/this")
    if "compiled" in seconds:
        print(f"compiling took about {seconds['compiled'][0] - median(seconds['compiled'][1:]):.0f} s")


def network(width: int, device: torch.device) -> nn.Module:
    torch.manual_seed(0)
    return ResNet18(width=width).build(SPEC).to(device)


def bare(model: nn.Module, data: LabelledImages, steps: int) -> Callable[[], None]:
    model.train().to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-4, momentum=0.9, weight_decay=5e-4)
    images = data.images[:BATCH].float().div(255).contiguous(memory_format=torch.channels_last)
    labels = data.labels[:BATCH]

    def loop() -> None:
        for _ in range(steps):
            with autocast(images.device):
                loss = F.cross_entropy(model(images), labels)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()

    return loop


def ours(model: nn.Module, data: LabelledImages, *, compiled: bool = False) -> Callable[[], None]:
    generator = torch.Generator(data.images.device).manual_seed(0)
    return lambda: train(model, data, RECIPE, generator, crop=4, flip=True, compiled=compiled)


def usual(model: nn.Module, data: LabelledImages, workers: int, device: torch.device) -> Callable[[], None]:
    model.train()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-4, momentum=0.9, weight_decay=5e-4)
    # the normalisation is part of the network here: the usual transform would do it once more
    steps = [transforms.RandomCrop(32, padding=4), transforms.RandomHorizontalFlip(), transforms.ToTensor()]
    loader = DataLoader(Pictures(data, transforms.Compose(steps)), BATCH, shuffle=True, num_workers=workers)

    def loop() -> None:
        for images, labels in moved(loader, device):
            loss = F.cross_entropy(model(images), labels)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()

    return loop


class Pictures(Dataset[tuple[Tensor, int]]):
    """PIL images behind a transform, as most training scripts hold them."""

    def __init__(self, data: LabelledImages, transform: Callable[[Any], Tensor]) -> None:
        self.pixels, self.labels, self.transform = (
            data.images.permute(0, 2, 3, 1).numpy(),
            data.labels.tolist(),
            transform,
        )

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, place: int) -> tuple[Tensor, int]:
        return self.transform(Image.fromarray(self.pixels[place])), self.labels[place]


def moved(loader: DataLoader[tuple[Tensor, int]], device: torch.device) -> Iterator[tuple[Tensor, Tensor]]:
    for images, labels in loader:
        yield images.to(device), labels.to(device)


def timed(loop: Callable[[], None], device: torch.device) -> float:
    start = time.perf_counter()
    loop()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
