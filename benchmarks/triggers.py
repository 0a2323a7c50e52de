"""The time to trigger 50,000 images of CIFAR-10's shape with every attack, against one training epoch.

    python benchmarks/triggers.py [cpu | cuda]

The epoch is that of ResNet-18 by the recipe ``paper`` (batches of 128), extrapolated from the median time of a few
steps on the same device in the same run. Triggering is the median of three passes through all images in batches of
1,000, as the harness does it. What an attack learns is learned from 256 images and an untrained network, since the time
does not depend on the values. An attack whose trigger is a trained generator is marked "generator" and has no limit.
"""

import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from statistics import median

import torch
from torch import nn

from bench.cell import backdoors
from bench.models.resnet18 import ResNet18
from bench.plan.recipes import RECIPES
from bench.plan.registry import Registry
from bench.plugin.attack import Attack
from bench.plugin.values import AttackContext, ImageSpec, LabelledImages
from bench.toolbox.training import train

IMAGES = 50_000
LEARNING_IMAGES = 256
LIMIT = 0.05  # of an epoch
SPEC = ImageSpec(3, 32, 32, 10, mean=(0.49, 0.48, 0.45), std=(0.25, 0.24, 0.26))


def main() -> None:
    device = torch.device(sys.argv[1] if len(sys.argv) > 1 else "cpu")
    generator = torch.Generator(device).manual_seed(0)
    pixels = torch.randint(0, 256, (IMAGES, *SPEC.shape), generator=generator, device=device, dtype=torch.uint8)
    data = LabelledImages(pixels, torch.arange(IMAGES, device=device) % SPEC.classes)
    few = data.at(torch.arange(LEARNING_IMAGES, device=device))
    epoch = epoch_seconds(device, data, generator)
    print(f"{device}, {torch.get_num_threads()} threads: one epoch of ResNet-18 on {IMAGES:,} images {epoch:.1f} s")
    registry = Registry()
    for entry in registry.entries("attack"):
        attack = registry.create("attack", entry.name, {}).resolve(SPEC)
        context = context_at_inference(attack, few, device)
        stamping = partial(backdoors.with_trigger, attack.backdoors(), data, generator, context)
        seconds = median_seconds(stamping, device)
        fraction = seconds / epoch
        has_generator = any("weight" in name for name in context.learned)
        verdict = "generator" if has_generator else "within" if fraction < LIMIT else "OVER"
        print(f"{entry.name:18s} {seconds:8.2f} s  {fraction:7.2%} of an epoch  {verdict}")


def context_at_inference(attack: Attack, few: LabelledImages, device: torch.device) -> AttackContext:
    """The context of the trigger, with what ``attack`` learns from ``few`` images and an untrained network."""
    network = ResNet18(width=4).build(SPEC).to(device).eval().requires_grad_(False)
    context = AttackContext(device, torch.Generator(device).manual_seed(0), spec=SPEC, surrogate=lambda share: network)
    learned = backdoors.learn(attack, few, context)
    objective = attack.objective(network, few, replace(context, learned=learned))
    return replace(context, learned={**learned, **objective.learned()}, surrogate=None)


def epoch_seconds(device: torch.device, data: LabelledImages, generator: torch.Generator) -> float:
    """The seconds of one epoch on ``data``, extrapolated from as many images as take a few seconds."""
    network: nn.Module = ResNet18().build(SPEC).to(device)
    part = data.at(torch.arange(512 if device.type == "cpu" else 12_800, device=device))
    recipe = RECIPES["paper"].model_copy(update={"epochs": 1})
    seconds = median_seconds(lambda: train(network, part, recipe, generator, crop=4, flip=True), device)
    return seconds * len(data) / len(part)


def median_seconds(work: Callable[[], object], device: torch.device, times: int = 3) -> float:
    """The median time in seconds of ``times`` calls of ``work``, after one that is not counted."""
    seconds = []
    for _ in range(times + 1):
        start = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - start)
    return median(seconds[1:])


if __name__ == "__main__":
    main()
