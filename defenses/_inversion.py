"""Reverse-engineering of triggers: the smallest change that leads images to a target class.

The objective is Neural Cleanse's (Wang et al., S&P 2019): cross-entropy to the target plus a weight times the
trigger's norm. The weight rises while enough images are classified as the target and falls while they are not. Many
tasks (a set of images and a target each) are solved side by side in one batch.

Three trigger models: a patch under a relaxed mask (norm: the mask's sum), an additive picture (L2), and a smooth
warping field (root mean square of the offsets, in pixels), which no mask and no fixed picture can describe.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.plugin import Context, note_trigger_picture
from bench.toolbox.networks import channels_last
from bench.toolbox.precision import expect_finite
from bench.toolbox.training import autocast

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
    """Triggers of T tasks: their parameters, norms (T,), success (T,), and which searches (T,) were finished.

    success: the share of a task's images that the trigger sends to its target. A task that never reached the goal has
    the last trigger tried. The norm of a search that was given up is its last norm, times the median factor by which
    the norms of its controls changed from then on.
    """

    model: TriggerModel
    parameters: Parameters
    norms: Tensor
    success: Tensor
    finished: Tensor

    def apply(self, images: Tensor) -> Tensor:
        """Images (T, N, C, H, W) with their task's trigger."""
        return self.model.apply(self.parameters, images)


def invert(
    network: nn.Module,
    model: TriggerModel,
    images: Tensor,
    targets: Tensor,
    context: Context,
    *,
    steps: int,
    goal: float,
    batch: int = 1024,
    prune: float = 0,
    least: int = 1,
) -> Triggers:
    """For each task the smallest trigger with which a share ``goal`` of its images is classified as its target.

    images (T, N, C, H, W) in [0, 1]; targets (T,); batch: images a pass, at least those of one task.
    With ``prune``, that share of the searches is given up after each of ROUNDS - 1 rounds, but ``least`` go on. A tenth
    of those given up, drawn at random, goes on as controls: they say how small the others would have become. The
    searches ahead cannot say it, because they were chosen for being small. The progress of ``context`` is that of the
    search. Raises ValueError where a search diverges.
    """
    search = _Search(network, model, images, targets, context.generator, goal)
    size = max(1, batch // images.shape[1])
    active = torch.arange(len(targets), device=images.device)
    controls = active[:0]
    dropped: list[_Dropped] = []
    rounds = min(ROUNDS, steps) if prune else 1  # what is given up has been tried
    for number in range(rounds):
        each = range(steps * number // rounds, steps * (number + 1) // rounds)
        passes = [some for some in torch.cat((active, controls)).split(size) for _ in each]
        for done, some in enumerate(passes, 1):
            search.step(some)
            context.progress((number + done / len(passes)) / rounds)
        search.expect_finite()
        count = max(math.ceil((1 - prune) * len(active)), least)
        if number < rounds - 1 and count < len(active):
            order = promising(search.norms[active], search.success[active], goal)
            dropped.append(_Dropped.of(active[order[count:]], search.norms, context.generator))
            active, controls = active[order[:count]], torch.cat((controls, dropped[-1].controls))
    finished = torch.ones_like(search.norms, dtype=torch.bool)
    for group in dropped:
        search.norms[group.given_up] *= (search.norms[group.controls] / group.norms).median()
        finished[group.given_up] = False
    return Triggers(model, search.best, search.norms, search.success, finished)


@torch.no_grad()
def note_pictures(
    kind: str,
    triggers: Triggers,
    images: Tensor,
    targets: Tensor,
    scores: Tensor,
    outlying: Tensor,
    context: Context,
) -> None:
    """Show a person, on the first of each task's ``images``, the triggers of the tasks that are ``outlying`` (T,) bool.

    Where none is, the one with the highest of the ``scores`` (T,): something to compare with.
    """
    shown = outlying.nonzero()[:, 0].tolist() or [int(scores.nan_to_num(-math.inf).argmax())]
    first = images[:, :1]
    triggered = triggers.apply(first)
    for task in shown:
        note_trigger_picture(context, int(targets[task]), kind, first[task, 0], triggered[task, 0])


@dataclass(frozen=True)
class _Dropped:
    """Searches that fell behind in one round: the numbers of those given up and of the controls, and these ones' norms
    at that time."""

    given_up: Tensor
    controls: Tensor
    norms: Tensor

    @classmethod
    def of(cls, behind: Tensor, norms: Tensor, generator: torch.Generator) -> "_Dropped":
        behind = behind[torch.randperm(len(behind), generator=generator, device=behind.device)]
        count = max(min(3, len(behind)), len(behind) // 10)
        return cls(behind[count:], behind[:count], norms[behind[:count]])


def promising(norms: Tensor, success: Tensor, goal: float) -> Tensor:
    """The order (T,) of searches by promise: the smallest triggers that reach the goal, then those nearest to it."""
    return torch.where(success >= goal, norms, norms.max() + 2 - success).argsort(stable=True)


class _Search:
    """The state of the searches for T triggers. Each counts its own steps, so that any of them may pause."""

    def __init__(
        self,
        network: nn.Module,
        model: TriggerModel,
        images: Tensor,
        targets: Tensor,
        generator: torch.Generator,
        goal: float,
    ) -> None:
        tasks, _, *shape = images.shape
        self.network, self.model, self.images, self.targets, self.goal = network, model, images, targets, goal
        self.parameters = model.start(tasks, shape, generator)
        self.best = [p.clone() for p in self.parameters]
        self.mean, self.square = ([torch.zeros_like(p) for p in self.parameters] for _ in range(2))  # Adam's moments
        self.steps = torch.zeros(tasks, device=images.device)
        self.weight = torch.full((tasks,), model.weight, device=images.device)
        self.norms = torch.full((tasks,), math.inf, device=images.device)
        self.success = torch.zeros(tasks, device=images.device)

    def step(self, some: Tensor) -> None:
        """One step of the searches numbered ``some`` (S,)."""
        parameters = [p[some].requires_grad_() for p in self.parameters]
        images, labels = self.images[some], self.targets[some, None].expand(-1, self.images.shape[1]).flatten()
        with torch.enable_grad():
            triggered = self.model.apply(parameters, images).flatten(0, 1)
            with autocast(images.device):
                logits = self.network(channels_last(triggered)).float()
            norm = self.model.norm(parameters)
            entropy = F.cross_entropy(logits, labels, reduction="none").view(len(some), -1).mean(1)
            gradients = torch.autograd.grad((entropy + self.weight[some] * norm).sum(), parameters)
        norm = norm.detach()
        success = (logits.argmax(1) == labels).view(len(some), -1).float().mean(1)
        # a smaller trigger that works, or, as long as none has worked, the latest
        better = (success >= self.goal) & (norm < self.norms[some]) | (self.success[some] < self.goal)
        for best, parameter in zip(self.best, parameters, strict=True):
            best[some[better]] = parameter.detach()[better]
        self.norms[some[better]], self.success[some[better]] = norm[better], success[better]
        self.weight[some] *= torch.where(success >= self.goal, RISE, FALL)
        self._descend(some, gradients)

    def expect_finite(self) -> None:
        """Raises ValueError, with the name, unless all triggers and norms are finite, those of the last step too."""
        kind = type(self.model).__name__.lower()
        named = {f"parameter {number} of the {kind} triggers": p for number, p in enumerate(self.parameters)}
        expect_finite(named | {f"the norms of the {kind} triggers": self.norms})

    def _descend(self, some: Tensor, gradients: Sequence[Tensor]) -> None:
        """Adam, with the moments of each search."""
        self.steps[some] += 1
        for parameter, mean, square, gradient in zip(self.parameters, self.mean, self.square, gradients, strict=True):
            steps = self.steps[some].view(-1, *[1] * (gradient.ndim - 1))
            mean[some] = BETAS[0] * mean[some] + (1 - BETAS[0]) * gradient
            square[some] = BETAS[1] * square[some] + (1 - BETAS[1]) * gradient.square()
            spread = (square[some] / (1 - BETAS[1] ** steps)).sqrt() + 1e-8
            parameter[some] -= self.model.rate * mean[some] / (1 - BETAS[0] ** steps) / spread


RISE, FALL = 1.15, 1.15**-1.5  # of the norm's weight a step: Neural Cleanse's 1.5 and 1.5^-1.5, at shorter intervals
BETAS = (0.5, 0.9)  # of Adam
ROUNDS = 4  # in which searches that are pruned proceed, of equally many steps
