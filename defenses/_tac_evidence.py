"""What TAC identifies a backdoor by, beside the norms of its shifts: adversarial distances behind an early stage."""

import copy
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from bench.defenses._perturbation import Array, distances
from bench.plugin import Context, LabelledImages
from bench.toolbox.networks import Cut, stages
from bench.toolbox.training import Recipe, autocast, train


@dataclass(frozen=True)
class Distances:
    """The distance of N images from each of C classes: found (C, N), and the images' labels (N,)."""

    found: Tensor
    labels: Tensor

    def of_classes(self) -> Array:
        """For every class (C,) the geometric mean over images of other classes."""
        logs = torch.where(self._telling, self.found.log(), 0).sum(1) / self._telling.sum(1)
        means: Array = logs.exp().double().cpu().numpy()
        return means

    def of_pairs(self) -> Array:
        """For every class (rows, C) the mean log distance of each class's images (columns, C); NaN where none tells."""
        classes = len(self.found)
        members = (self.labels == torch.arange(classes, device=self.labels.device)[:, None]).float()  # (C, N)
        sums = torch.where(self._telling, self.found.log(), 0) @ members.T
        means: Array = (sums / (self._telling.float() @ members.T)).double().cpu().numpy()
        return means

    @property
    def _telling(self) -> Tensor:
        """Which distances (C, N) count: an image that has the class, or is taken for it, tells nothing of the way."""
        own = self.labels == torch.arange(len(self.found), device=self.labels.device)[:, None]
        return ~own & (self.found > 0)


def stage_distances(
    model: nn.Module, stage: int, count: int, classes: int, data: LabelledImages, context: Context
) -> Distances:
    """The distances of ``count`` random images of ``data`` behind stage number ``stage`` of ``model``."""
    order = torch.randperm(len(data), generator=context.generator, device=context.device)
    some = data.at(order[:count])
    places = list(stages(model).values())
    behind = places[min(stage, len(places) - 1)] if places else None  # of a bare layer: the images themselves
    cut = Cut(model, behind, some.floats[:1]) if behind else None

    def head(activations: Tensor) -> Tensor:
        if activations.ndim == 4:
            activations = activations.contiguous(memory_format=torch.channels_last)
        with autocast(context.device):
            logits: Tensor = cut.after(activations) if cut else model(activations)
        return logits

    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    for parameter in trainable:
        parameter.requires_grad_(False)
    with torch.no_grad():
        activations = cut.before(some.floats) if cut else some.floats
    found = distances(head, activations, classes)
    for parameter in trainable:
        parameter.requires_grad_(True)
    return Distances(found, some.labels)


def control(model: nn.Module, epochs: int, batch_size: int, data: LabelledImages, context: Context) -> nn.Module:
    """A network of the same architecture that never saw a poisoned image: trained on the reference images alone."""
    recipe = Recipe(epochs=epochs, batch_size=batch_size, learning_rate=0.05, schedule="one-cycle")
    fresh = reinitialised(model, context.generator)
    train(fresh, data, recipe, context.generator, crop=max(1, data.images.shape[-1] // 14))
    return fresh


def reinitialised(model: nn.Module, generator: torch.Generator) -> nn.Module:
    """A copy of ``model`` in which every layer that knows how has drawn its parameters anew."""
    fresh = copy.deepcopy(model)
    seed = int(torch.randint(2**62, (1,), generator=generator, device=generator.device))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for module in fresh.modules():
            if callable(reset := getattr(module, "reset_parameters", None)):
                reset()
    return fresh.requires_grad_(True)


def pair_residuals(logs: Array) -> Array:
    """How much closer the images of a class (columns) are to another (rows) than both classes' habits explain; (C, C).

    Half of the way back is taken off first, since classes that look alike are close both ways and a backdoor is not;
    then the medians of rows and columns in turn; in units of 1.4826 median absolute deviations. NaN stays NaN.
    """
    residuals = logs - 0.5 * np.where(np.isnan(logs.T), 0, logs.T)
    for _ in range(20):
        residuals = residuals - _medians(residuals, 1)
        residuals = residuals - _medians(residuals, 0)
    spread = 1.4826 * np.nanmedian(np.abs(residuals))
    scaled: Array = residuals / max(float(spread), 1e-12)
    return scaled


def all_to_all(residuals: Array, bound: float = -2.33) -> dict[int, int]:
    """The class that each class's images are led to, if every class seems to be led somewhere else; else nothing.

    It seems so where at least half of the classes are the target of a pair with a residual below ``bound``, the lowest
    per cent of a normal distribution (by chance it would be about one in eleven), and where the classes' nearest ones
    differ, all but a tenth: of ten that were drawn at random, six or seven would. Residuals have heavier tails than a
    normal distribution, and the first condition alone held in one of five benign networks.
    """
    filled = np.where(np.isnan(residuals), np.inf, residuals)
    targets = {int(row) for row, _ in np.argwhere(filled < bound)}
    led = {source: int(filled[:, source].argmin()) for source in range(len(residuals))}
    few = 2 * len(targets) < len(residuals) or 10 * len(set(led.values())) < 9 * len(residuals)
    return {} if few or len(residuals) < 4 else led


def _medians(values: Array, axis: int) -> Array:
    """Medians along ``axis``, kept as a dimension; 0 where there is nothing but NaN."""
    with np.errstate(all="ignore"):
        empty = np.isnan(values).all(axis, keepdims=True)
        medians: Array = np.where(empty, 0, np.nanmedian(np.where(empty, 0, values), axis, keepdims=True))
    return medians
