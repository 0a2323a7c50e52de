"""Adversarial distances at any place of a network: how little a change of activations gives an image another class.

Rony et al., "Decoupling Direction and Norm for Efficient Gradient-Based L2 Adversarial Attacks and Defenses", CVPR
2019.
"""

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from bench.toolbox.precision import expect_finite

SHRINK, GROW = 0.88, 1.12  # of the radius, where the class is reached and where it is not
FIRST_RADIUS = 0.15  # in median norms of the activations


def adversarial_distances(
    head: Callable[[Tensor], Tensor], activations: Tensor, classes: int, *, steps: int = 25, chunk: int = 512
) -> Tensor:
    """How far each of N images is from each class: L2 norms (C, N) of changes of its activations (N, ...).

    It is the norm of the smallest change that the search meets with which ``head``, the rest of the network, gives the
    image the class: 0 where that needs no change, and the last radius tried where the class is never reached.
    The search follows the normalised gradient on a sphere that shrinks while the class is reached and grows while it is
    not. It is deterministic. ``chunk``: pairs of an image and a class in one pass. Raises ValueError where logits or
    gradients are not finite.
    """
    scale = activations.flatten(1).norm(dim=1).median()
    count = len(activations)
    pairs = torch.arange(classes * count, device=activations.device)
    distances = [
        _search(head, activations[some % count], F.one_hot(some // count, classes).bool(), FIRST_RADIUS * scale, steps)
        for some in pairs.split(chunk)
    ]
    return torch.cat(distances).view(classes, count)


def _search(
    head: Callable[[Tensor], Tensor], activations: Tensor, targets: Tensor, radius: Tensor, steps: int
) -> Tensor:
    """The distances (M,) of activations (M, ...) from the classes that the mask ``targets`` (M, C) selects."""
    per_image = (slice(None), *[None] * (activations.ndim - 1))
    change = torch.zeros_like(activations)
    radii = radius.expand(len(activations)).clone()
    smallest = torch.full_like(radii, torch.inf)
    for step in range(steps):
        change.requires_grad_()
        logits = head(activations + change).float()
        leads = lead(logits, targets)
        (gradient,) = torch.autograd.grad(F.softplus(-leads).sum(), change)
        with torch.no_grad():
            reached = leads > 0
            smallest = torch.where(reached, smallest.minimum(change.flatten(1).norm(dim=1)), smallest)
            if step:
                radii *= torch.where(reached, SHRINK, GROW)
            change = change.detach() - gradient * (step_length(step, steps) * radii / _norms(gradient))[per_image]
            change *= (radii / _norms(change))[per_image]
    expect_finite({"the adversarial changes": change})  # once a logit or a gradient is NaN, the change stays so
    return smallest.where(smallest.isfinite(), radii)


def lead(logits: Tensor, targets: Tensor) -> Tensor:
    """By how much (N,) each image's logit of the class that the mask ``targets`` (N, C) selects exceeds all others."""
    return logits[targets] - logits.masked_fill(targets, -torch.inf).amax(1)


def step_length(step: int, steps: int) -> float:
    """How far a search on a sphere goes in one of its steps, in radii: ever less far."""
    return 0.15 * (1 + float(np.cos(np.pi * step / steps))) + 0.02


def _norms(values: Tensor) -> Tensor:
    """The L2 norms (M,) of values (M, ...), never 0: they are divided by."""
    lengths: Tensor = values.flatten(1).norm(dim=1).clamp_min(1e-12)
    return lengths
