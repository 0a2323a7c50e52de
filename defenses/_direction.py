"""The direction that a trigger adds to activations, and the test for its presence: pure functions on tensors.

Activations are flat (N, d). Ahlers et al., "FIRE", 2026, arXiv 2602.10780; the matching of classes, the test and the
running mean's samples are derived here.
"""

from dataclasses import dataclass

import torch
from torch import Tensor


def class_means(clean: Tensor, labels: Tensor, classes: int) -> Tensor:
    """Mean activations (classes, d) of clean images (N, d); a class without an image gets the mean of all."""
    sums = clean.new_zeros(classes, clean.shape[1]).index_add_(0, labels, clean)
    counts = torch.bincount(labels, minlength=classes)[:, None]
    return torch.where(counts > 0, sums / counts.clamp(min=1), clean.mean(0))


def paired_direction(triggered: Tensor, originals: Tensor) -> Tensor:
    """beta (d,): the mean of what the trigger adds to activations (N, d)."""
    return (triggered - originals).mean(0)


def unpaired_direction(triggered: Tensor, means: Tensor, target: int) -> Tensor:
    """beta (d,) without pairs: the mean of the triggered activations (N, d) less the mean of the clean ones.

    The trigger is to come from every class but the target, so that the mean over the other classes' ``means`` (C, d)
    stands for the originals: the class content cancels.
    """
    others = torch.arange(len(means), device=means.device) != target
    return triggered.mean(0) - means[others].mean(0)


@dataclass(frozen=True)
class Test:
    """Does an input taken for the target carry the trigger? A linear score of activations: 0 for the mean clean image
    of the target, 1 for the mean triggered one, so that 1/2 parts them."""

    axis: Tensor
    offset: Tensor

    def __call__(self, activations: Tensor) -> Tensor:
        return activations @ self.axis - self.offset


def presence_test(target_clean: Tensor, triggered: Tensor, spread: Tensor) -> Test:
    """The linear discriminant of two sets of activations (N, d), (M, d), their covariance taken as diagonal.

    spread: variances (d,) within the classes; their mean is added to each, as there are far fewer images than
    coordinates.
    """
    low, high = target_clean.mean(0), triggered.mean(0)
    axis = (high - low) / (spread + spread.mean()).clamp(min=torch.finfo(spread.dtype).tiny)
    axis = axis / (axis @ (high - low)).clamp(min=torch.finfo(axis.dtype).tiny)
    return Test(axis, axis @ low)


def shifted(activations: Tensor, direction: Tensor, strength: float) -> Tensor:
    """x - alpha beta."""
    return activations - strength * direction


def projected(activations: Tensor, direction: Tensor, strength: float, centre: Tensor) -> Tensor:
    """x - alpha (u . (x - centre)) u with u along beta: as much of beta as the input has of it."""
    unit = direction / direction.norm().clamp(min=torch.finfo(direction.dtype).tiny)
    return activations - strength * torch.outer((activations - centre) @ unit, unit)


class RunningMean:
    """A mean that takes in one sample after another: beta_t = beta_(t-1) + (d_t - beta_(t-1)) / t."""

    def __init__(self, value: Tensor, count: int) -> None:
        self.value, self.count = value.clone(), count

    def add(self, sample: Tensor) -> None:
        self.count += 1
        self.value += (sample - self.value) / self.count
