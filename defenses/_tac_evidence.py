"""What TAC identifies a backdoor by, beside the norms of its shifts: adversarial distances behind an early stage."""

import copy
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bench.defenses._adversarial_distance import adversarial_distances
from bench.plugin import Context, LabelledImages
from bench.toolbox.networks import Cut, channels_last, stages
from bench.toolbox.training import Recipe, autocast, train

Array = NDArray[np.float64]

FEWEST_FOR_ALL_TO_ALL = 4  # classes: of fewer, the nearest ones say nothing


@dataclass(frozen=True)
class Distances:
    """How far N images are from each of C classes: ``values`` (C, N), and the images' ``labels`` (N,)."""

    values: Tensor
    labels: Tensor

    def of_classes(self) -> Array:
        """For every class (C,) the geometric mean over the images of other classes."""
        logs = torch.where(self._informative, self.values.log(), 0).sum(1) / self._informative.sum(1)
        means: Array = logs.exp().double().cpu().numpy()
        return means

    def of_pairs(self) -> Array:
        """For every class (rows, C) the mean log distance of each class's images (columns, C); NaN without any."""
        classes = len(self.values)
        members = (self.labels == torch.arange(classes, device=self.labels.device)[:, None]).float()  # (C, N)
        sums = torch.where(self._informative, self.values.log(), 0) @ members.T
        means: Array = (sums / (self._informative.float() @ members.T)).double().cpu().numpy()
        return means

    @property
    def _informative(self) -> Tensor:
        """Which distances (C, N) count: not those to an image's own class, or to the class that it is given anyway."""
        own = self.labels == torch.arange(len(self.values), device=self.labels.device)[:, None]
        return ~own & (self.values > 0)


def stage_distances(model: nn.Module, stage: int, classes: int, some: LabelledImages, context: Context) -> Distances:
    """The distances of ``some`` images from every class, behind stage number ``stage`` of ``model``.

    A network with fewer stages is cut behind its last one. One without stages is searched from its images.
    """
    modules = list(stages(model).values())
    cut = Cut(model, modules[min(stage, len(modules) - 1)], some.example) if modules else None

    def head(activations: Tensor) -> Tensor:
        if activations.ndim == 4:
            activations = channels_last(activations)
        with autocast(context.device):
            logits: Tensor = cut.after(activations) if cut else model(activations)
        return logits

    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    for parameter in trainable:
        parameter.requires_grad_(False)
    with torch.no_grad():
        activations = cut.before(some.floats) if cut else some.floats
    distances = adversarial_distances(head, activations, classes)
    for parameter in trainable:
        parameter.requires_grad_(True)
    return Distances(distances, some.labels)


def control_network(
    model: nn.Module,
    epochs: int,
    batch_size: int,
    data: LabelledImages,
    context: Context,
    *,
    crop: int | None = None,
    flip: bool = False,
) -> nn.Module:
    """A network of the same architecture that never saw a poisoned image: trained on the reference images alone.

    crop, flip: as for ``augment``; crops by a fourteenth of the side if not given.
    """
    recipe = Recipe(epochs=epochs, batch_size=batch_size, learning_rate=0.05, schedule="one-cycle")
    control = reinitialised(model, context.generator)
    padding = max(1, data.images.shape[-1] // 14) if crop is None else crop
    train(control, data, recipe, context.generator, crop=padding, flip=flip)
    return control


def reinitialised(model: nn.Module, generator: torch.Generator) -> nn.Module:
    """A copy of ``model`` in which every layer with a ``reset_parameters`` has drawn its parameters anew."""
    fresh = copy.deepcopy(model)
    seed = int(torch.randint(2**62, (1,), generator=generator, device=generator.device))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for module in fresh.modules():
            if callable(reset := getattr(module, "reset_parameters", None)):
                reset()
    return fresh.requires_grad_(True)


def pair_residuals(logs: Array) -> Array:
    """How much closer the images of a class (columns) are to another (rows) than is usual for both classes; (C, C).

    logs (C, C): mean log distances as ``Distances.of_pairs`` gives them. Half of the distance the other way is
    subtracted first, since classes that look alike are close both ways, and a backdoor leads one way only; then the
    medians of rows and columns in turn. In units of 1.4826 median absolute deviations. NaN stays NaN.
    """
    residuals = logs - 0.5 * np.where(np.isnan(logs.T), 0, logs.T)
    for _ in range(20):
        residuals = residuals - _medians(residuals, 1)
        residuals = residuals - _medians(residuals, 0)
    spread = 1.4826 * np.nanmedian(np.abs(residuals))
    scaled: Array = residuals / max(float(spread), 1e-12)
    return scaled


def all_to_all_targets(residuals: Array, bound: float = -2.33) -> tuple[int, ...] | None:
    """For every class the class that a backdoor sends its images to, (C,); None if there seems to be no all-to-all one.

    There seems to be one if two things hold. At least half of the classes are the target of a pair with a residual
    below ``bound``, the lowest per cent of a normal distribution (by chance it would be about one in eleven). And
    nine tenths of the classes have a nearest class that differs from the others': of ten drawn at random, six or seven
    would differ. Residuals have heavier tails than a normal distribution, so the first condition alone is not enough.
    """
    classes = len(residuals)
    filled = np.where(np.isnan(residuals), np.inf, residuals)
    close = {int(row) for row, _ in np.argwhere(filled < bound)}
    nearest = tuple(int(label) for label in filled.argmin(0))
    if classes < FEWEST_FOR_ALL_TO_ALL or 2 * len(close) < classes or 10 * len(set(nearest)) < 9 * classes:
        return None
    return nearest


def _medians(values: Array, axis: int) -> Array:
    """Medians along ``axis``, kept as a dimension; 0 where there is nothing but NaN."""
    with np.errstate(all="ignore"):
        empty = np.isnan(values).all(axis, keepdims=True)
        medians: Array = np.where(empty, 0, np.nanmedian(np.where(empty, 0, values), axis, keepdims=True))
    return medians
