"""The direction that a trigger adds to activations, and the test for its presence: pure functions on tensors.

Activations are flat (N, d). Ahlers et al., "FIRE", 2026, arXiv 2602.10780; the filter, and how a repair is judged, are
derived here.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor


def class_means(clean: Tensor, labels: Tensor, classes: int) -> Tensor:
    """Mean activations (classes, d) of clean images (N, d); a class without an image gets the mean of all."""
    sums = clean.new_zeros(classes, clean.shape[1]).index_add_(0, labels, clean)
    counts = torch.bincount(labels, minlength=classes)[:, None]
    return torch.where(counts > 0, sums / counts.clamp(min=1), clean.mean(0))


@dataclass(frozen=True)
class Filter:
    """How much of a direction an input has: a linear score (N,) of activations (N, d).

    It is 0 for the mean of the clean images and 1 for that of the triggered ones, so that 1/2 separates them.
    """

    axis: Tensor
    offset: Tensor

    def __call__(self, activations: Tensor) -> Tensor:
        return activations @ self.axis - self.offset


def matched_filter(direction: Tensor, clean: Tensor, triggered: Tensor, noise: Tensor) -> Filter:
    """The linear filter that best detects ``direction`` (d,) in noise with the covariance of ``noise`` (N, d).

    The axis is S^-1 beta. S is the covariance (about zero), shrunk towards a multiple of the identity as Ledoit and
    Wolf, "A well-conditioned estimator for large-dimensional covariance matrices", 2004, do. It is computed from the
    N x N Gram matrix, because there are far fewer images than coordinates. The score of the means of ``clean`` and
    ``triggered`` (N, d) is 0 and 1.
    """
    count, size = noise.shape
    tiny = torch.finfo(noise.dtype).tiny
    gram = noise @ noise.T / count
    power = gram.diagonal().sum() / size
    dispersion = gram.square().sum() - size * power**2
    error = gram.diagonal().square().sum() - gram.square().sum() / count
    shrinkage = (error / dispersion.clamp(min=tiny)).clamp(1e-3, 1 - 1e-3)
    ridge = (power * shrinkage / (1 - shrinkage)).clamp(min=tiny)
    inner = gram + ridge * torch.eye(count, device=gram.device, dtype=gram.dtype)
    axis = direction - noise.T @ torch.linalg.solve(inner, noise @ direction) / count
    low, high = clean.mean(0), triggered.mean(0)
    axis = axis / (axis @ (high - low)).clamp(min=tiny)
    return Filter(axis, axis @ low)


def shifted(activations: Tensor, direction: Tensor, strength: float) -> Tensor:
    """x - alpha beta."""
    return activations - strength * direction


def projected(activations: Tensor, direction: Tensor, strength: float, centre: Tensor) -> Tensor:
    """x - alpha (u . (x - centre)) u with u along beta: alpha times the input's own component is subtracted."""
    unit = direction / direction.norm().clamp(min=torch.finfo(direction.dtype).tiny)
    return activations - strength * torch.outer((activations - centre) @ unit, unit)


class RunningMean:
    """A mean that is updated with one sample after another: beta_t = beta_(t-1) + (d_t - beta_(t-1)) / t."""

    def __init__(self, value: Tensor, count: int) -> None:
        self.value, self.count = value.clone(), count

    def add(self, sample: Tensor) -> None:
        self.count += 1
        self.value += (sample - self.value) / self.count


def target_classes(logits: Tensor) -> tuple[Tensor, Tensor]:
    """The target classes by the suspects' logits (M, C): their mask (C,), and the mask (M,) of suspects to trust.

    The target is the class of most suspects, and suspects of another class are no evidence. If there is no such class,
    the attack may have a target for every class, or there may be none: all classes are targets then.
    """
    predicted = logits.argmax(1)
    targets = torch.bincount(predicted, minlength=logits.shape[1]) * 2 > len(predicted)
    if not targets.any():
        targets = torch.ones_like(targets)
    return targets, targets[predicted]


def folds(labels: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """The fold (N,), below ``count``, of each image: at random, with every class spread evenly."""
    shuffled = torch.randperm(len(labels), generator=generator, device=labels.device)
    fold = torch.empty_like(labels)
    fold[shuffled[labels[shuffled].argsort(stable=True)]] = torch.arange(len(labels), device=labels.device) % count
    return fold


def gain(before: Tensor, after: Tensor, wanted: Tensor | None) -> float:
    """How much better triggered images do with logits ``after`` (N, C) than with ``before`` (N, C): at most 1.

    If the classes ``wanted`` (N,) are known, it is what their mean probability gains. Otherwise it is the mean of two
    gains, both of the probabilities of the classes other than the one that the trigger led to: of the likeliest class's
    probability, and of the mutual information of image and class. The second is there because a repair that sends every
    image to the same class is none.
    """
    led_to = before.argmax(1, keepdim=True)

    def success(logits: Tensor) -> float:
        probability = logits.softmax(1)
        if wanted is not None:
            return float(probability.gather(1, wanted[:, None]).mean())
        others = probability.scatter(1, led_to, 0)
        total = others.sum(1)
        distribution = others / total.clamp(min=torch.finfo(others.dtype).tiny)[:, None]
        information = _entropy(distribution.mean(0)) - _entropy(distribution).mean()
        return float(others.amax(1).mean() + total.mean() * information / math.log(others.shape[1])) / 2

    return success(after) - success(before)


def loss(before: Tensor, after: Tensor, labels: Tensor, targets: Tensor) -> float:
    """How much the mean probability of the labels (N,) falls from logits ``before`` (N, C) to ``after`` (N, C).

    The larger of the falls over all images and over those of the classes ``targets`` (C,), a mask.
    """
    lost = (before.softmax(1) - after.softmax(1)).gather(1, labels[:, None])[:, 0]
    of_target = lost[targets[labels]]
    return max(float(lost.mean()), float(of_target.mean()) if len(of_target) else 0.0)


def _entropy(probabilities: Tensor) -> Tensor:
    """The entropy (...), in nats, of distributions (..., C)."""
    return -torch.xlogy(probabilities, probabilities).sum(-1)
