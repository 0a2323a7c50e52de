"""Reverse-engineering of triggers: the smallest change that leads images to a target class.

The objective is Neural Cleanse's (Wang et al., S&P 2019): cross-entropy to the target plus a weight times the
trigger's norm, the weight rising while enough images follow the trigger and falling while they do not. Many tasks
(a set of images and a target each) are solved side by side in one batch.

Three trigger models: a patch under a relaxed mask (norm: the mask's sum), an additive picture (L2), and a smooth
warping field, which no mask and no fixed picture describes (root mean square of the offsets, in pixels).
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.training import autocast

Parameters = list[Tensor]


class TriggerModel(ABC):
    """How a trigger changes images. Parameters and images are batched over T tasks."""

    rate: ClassVar[float]  # step size of the search
    weight: ClassVar[float]  # of the norm in the objective, at the start

    @abstractmethod
    def start(self, tasks: int, shape: Sequence[int], generator: torch.Generator) -> Parameters:
        """First parameters of triggers for images of ``shape`` (C, H, W)."""

    @abstractmethod
    def apply(self, parameters: Parameters, images: Tensor) -> Tensor:
        """Images (T, N, C, H, W) in [0, 1] with their task's trigger."""

    @abstractmethod
    def norm(self, parameters: Parameters) -> Tensor:
        """The size (T,) of the triggers."""


class Patch(TriggerModel):
    rate, weight = 0.1, 0.01

    def start(self, tasks: int, shape: Sequence[int], generator: torch.Generator) -> Parameters:
        channels, height, width = shape
        mask, picture = (
            0.1 * torch.randn(tasks, depth, height, width, generator=generator, device=generator.device)
            for depth in (1, channels)
        )
        return [mask - 1, picture]

    def apply(self, parameters: Parameters, images: Tensor) -> Tensor:
        mask, picture = (parameter.sigmoid()[:, None] for parameter in parameters)
        return images + mask * (picture - images)

    def norm(self, parameters: Parameters) -> Tensor:
        return parameters[0].sigmoid().sum((1, 2, 3))


class Additive(TriggerModel):
    rate, weight = 0.02, 0.1

    def start(self, tasks: int, shape: Sequence[int], generator: torch.Generator) -> Parameters:
        return [0.02 * torch.randn(tasks, *shape, generator=generator, device=generator.device)]

    def apply(self, parameters: Parameters, images: Tensor) -> Tensor:
        return (images + parameters[0][:, None]).clamp(0, 1)

    def norm(self, parameters: Parameters) -> Tensor:
        return (parameters[0].square().sum((1, 2, 3)) + 1e-12).sqrt()


class Warp(TriggerModel):
    rate, weight = 0.1, 0.1
    grid: ClassVar[int] = 6  # side of the field of offsets, enlarged to the images' size

    def start(self, tasks: int, shape: Sequence[int], generator: torch.Generator) -> Parameters:
        return [0.1 * torch.randn(tasks, 2, self.grid, self.grid, generator=generator, device=generator.device)]

    def apply(self, parameters: Parameters, images: Tensor) -> Tensor:
        tasks, count, channels, height, width = images.shape
        offsets = F.interpolate(parameters[0], (height, width), mode="bicubic", align_corners=True)
        y, x = (torch.linspace(-1, 1, size, device=images.device) for size in (height, width))
        pixel = offsets.new_tensor([2 / max(width - 1, 1), 2 / max(height - 1, 1)])
        where = torch.stack(torch.meshgrid(x, y, indexing="xy"), -1) + offsets.permute(0, 2, 3, 1) * pixel
        stacked = images.reshape(tasks, count * channels, height, width)
        return F.grid_sample(stacked, where, align_corners=True).view_as(images)

    def norm(self, parameters: Parameters) -> Tensor:
        return (parameters[0].square().mean((1, 2, 3)) + 1e-12).sqrt()


TRIGGER_MODELS: dict[str, TriggerModel] = {"patch": Patch(), "additive": Additive(), "warp": Warp()}


@dataclass(frozen=True)
class Triggers:
    """Triggers of T tasks: their parameters, norms (T,), and the share of images (T,) that followed them.

    Of a task that never reached the goal it is the last trigger tried.
    """

    model: TriggerModel
    parameters: Parameters
    norms: Tensor
    success: Tensor

    def apply(self, images: Tensor) -> Tensor:
        """Images (T, N, C, H, W) with their task's trigger."""
        return self.model.apply(self.parameters, images)


def invert(
    network: nn.Module,
    model: TriggerModel,
    images: Tensor,
    targets: Tensor,
    generator: torch.Generator,
    *,
    steps: int,
    goal: float,
    batch: int = 1024,
) -> Triggers:
    """For each task the smallest trigger found under which ``goal`` of its ``images`` (T, N, C, H, W) are
    classified as its target (T,). ``batch``: images a pass, at least those of one task."""
    size = max(1, batch // images.shape[1])
    parts = [
        _invert(network, model, some, aims, generator, steps, goal)
        for some, aims in zip(images.split(size), targets.split(size), strict=True)
    ]
    return Triggers(
        model,
        [torch.cat(each) for each in zip(*(part.parameters for part in parts), strict=True)],
        torch.cat([part.norms for part in parts]),
        torch.cat([part.success for part in parts]),
    )


def _invert(
    network: nn.Module,
    model: TriggerModel,
    images: Tensor,
    targets: Tensor,
    generator: torch.Generator,
    steps: int,
    goal: float,
) -> Triggers:
    tasks, count, *shape = images.shape
    labels = targets.repeat_interleave(count)
    parameters = [p.requires_grad_() for p in model.start(tasks, shape, generator)]
    optimizer = torch.optim.Adam(parameters, lr=model.rate, betas=(0.5, 0.9))
    weight = torch.full((tasks,), model.weight, device=images.device)
    best = [p.detach().clone() for p in parameters]
    norms = torch.full((tasks,), math.inf, device=images.device)
    success = torch.zeros(tasks, device=images.device)
    for _ in range(steps):
        triggered = model.apply(parameters, images).flatten(0, 1).contiguous(memory_format=torch.channels_last)
        with autocast(images.device):
            logits = network(triggered)
        logits = logits.float()
        norm = model.norm(parameters)
        loss = F.cross_entropy(logits, labels, reduction="none").view(tasks, count).mean(1) + weight * norm
        with torch.no_grad():
            share = (logits.argmax(1) == labels).view(tasks, count).float().mean(1)
            reached = share >= goal
            keep = reached & (norm < norms) | (success < goal)  # without a success: the latest
            for kept, parameter in zip(best, parameters, strict=True):
                kept[keep] = parameter[keep]
            norms, success = torch.where(keep, norm, norms), torch.where(keep, share, success)
            weight = weight * torch.where(reached, RISE, FALL)
        gradients = torch.autograd.grad(loss.sum(), parameters)
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = gradient
        optimizer.step()
    return Triggers(model, best, norms.detach(), success)


RISE, FALL = 1.15, 1.15**-1.5  # of the norm's weight a step: Neural Cleanse's 1.5 and 1.5^-1.5, at shorter intervals
