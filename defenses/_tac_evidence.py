"""What TAC identifies a backdoor by, beside norms of shifts: distances, and what permutes the classes."""

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from bench.defenses._adversarial_distance import adversarial_distances
from bench.defenses._permuting_change import permuting_change
from bench.plugin import Context, LabelledImages
from bench.toolbox.networks import Cut, channels_last, stages
from bench.toolbox.training import Recipe, autocast, train

Array = NDArray[np.float64]

PERMUTED = 0.5  # share of other images that one change must lead to their targets, to be an all-to-all backdoor
A_CLASS, ALL = 10, 1000  # images to look for such a change with, at most


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
    with _frozen(model):
        before, head = _cut(model, modules[min(stage, len(modules) - 1)] if modules else None, some, context)
        distances = adversarial_distances(head, before(some.floats), classes)
    return Distances(distances, some.labels)


def permuted(
    model: nn.Module, classes: int, data: LabelledImages, context: Context
) -> tuple[list[float], tuple[int, ...] | None]:
    """What permutes the classes behind the two stages before the last: whether an all-to-all backdoor seems to do so.

    Behind each stage one change is looked for that leads the images of each class to another one. Returned are the
    shares of other images that the changes lead there, and the targets (C,) of the largest one if that is over
    ``PERMUTED``. Without enough images of any class for both, there are no shares. A network with fewer stages is cut
    behind all that it has; one without stages is searched from its images.
    """
    some, others = _halves(data, min(A_CLASS, max(1, ALL // classes)))
    shares, led_to = [], []
    with _frozen(model):
        for module in _late(model) if len(others) else []:
            before, head = _cut(model, module, some, context)
            found = permuting_change(head, before(some.floats), some.labels, classes)
            shares.append(found.share(head, before(others.floats), others.labels))
            led_to.append(found.targets)
    likely = bool(shares) and max(shares) > PERMUTED
    return shares, led_to[int(np.argmax(shares))] if likely else None


def _late(model: nn.Module) -> list[nn.Module | None]:
    """The two stages before the last, as far as there are."""
    modules = list(stages(model).values())
    return [*(modules[-3:-1] or modules)] or [None]


def _halves(data: LabelledImages, most: int) -> tuple[LabelledImages, LabelledImages]:
    """Up to ``most`` images of each class, and as many others of it, or one less."""
    position = (F.one_hot(data.labels).cumsum(0) - 1).gather(1, data.labels[:, None])[:, 0]  # among its class
    used = position < 2 * most
    return data.at(used & (position % 2 == 0)), data.at(used & (position % 2 == 1))


def _cut(
    model: nn.Module, module: nn.Module | None, some: LabelledImages, context: Context
) -> tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]:
    """What gives the activations behind ``module`` of images, and what gives the logits of activations.

    None: the activations are the images themselves.
    """
    cut = None if module is None else Cut(model, module, some.example)

    def before(images: Tensor) -> Tensor:
        with torch.no_grad():
            return cut.before(images) if cut else images

    def head(activations: Tensor) -> Tensor:
        if activations.ndim == 4:
            activations = channels_last(activations)
        with autocast(context.device):
            logits: Tensor = cut.after(activations) if cut else model(activations)
        return logits

    return before, head


@contextmanager
def _frozen(model: nn.Module) -> Iterator[None]:
    """While open, no gradient is computed for the network's parameters."""
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    for parameter in trainable:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in trainable:
            parameter.requires_grad_(True)


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
