"""The direction that a trigger adds to activations, and the test for its presence: pure functions on tensors.

Activations are flat (N, d). Ahlers et al., "FIRE", 2026, arXiv 2602.10780; the filter and the
measure of a repair are derived here.
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
    """How much of a direction an input has: a linear score of activations (N, d), 0 for the mean of the clean images
    and 1 for the mean of the triggered ones, so that 1/2 parts them."""

    axis: Tensor
    offset: Tensor

    def __call__(self, activations: Tensor) -> Tensor:
        return activations @ self.axis - self.offset


def matched_filter(direction: Tensor, clean: Tensor, triggered: Tensor, noise: Tensor) -> Filter:
    """The linear filter that shows ``direction`` (d,) best in noise of the covariance of ``noise`` (N, d).

    The axis is S^-1 beta, with S the covariance (about zero) shrunk towards a multiple of the identity, as far as
    Ledoit and Wolf, "A well-conditioned estimator for large-dimensional covariance matrices", 2004, have it. The N x N
    Gram matrix takes its place, for there are far fewer images than coordinates.
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


def led_to(logits: Tensor) -> tuple[Tensor, Tensor]:
    """Where the suspects (M, C) lead: the mask (C,) of the target classes, the mask (M,) of the suspects to trust.

    The target is the class of most of them; what leads elsewhere is no evidence. If there is no such class, the attack
    may have a target for every class, or there may be none.
    """
    predicted = logits.argmax(1)
    targets = torch.bincount(predicted, minlength=logits.shape[1]) * 2 > len(predicted)
    if not targets.any():
        targets = torch.ones_like(targets)
    return targets, targets[predicted]


def folds(labels: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """The fold (N,), less than ``count``, of each image: at random, with every class spread evenly."""
    shuffled = torch.randperm(len(labels), generator=generator, device=labels.device)
    fold = torch.empty_like(labels)
    fold[shuffled[labels[shuffled].argsort(stable=True)]] = torch.arange(len(labels), device=labels.device) % count
    return fold


def gain(before: Tensor, after: Tensor, wanted: Tensor | None) -> float:
    """How much better triggered images do with logits ``after`` (N, C) than ``before`` (N, C): at most 1.

    It is what the mean probability of the classes ``wanted`` (N,) gains. If they are not known, it is what two things
    gain on average, both of the probabilities of the other classes than the one that the trigger led to: that
    of the likeliest class, and the mutual information of image and class, for a repair that sends every image to
    the same class is none.
    """
    led = before.argmax(1, keepdim=True)

    def reached(logits: Tensor) -> float:
        probability = logits.softmax(1)
        if wanted is not None:
            return float(probability.gather(1, wanted[:, None]).mean())
        others = probability.scatter(1, led, 0)
        share = others.sum(1)
        others_only = others / share.clamp(min=torch.finfo(others.dtype).tiny)[:, None]
        information = _entropy(others_only.mean(0)) - _entropy(others_only).mean()
        return float(others.amax(1).mean() + share.mean() * information / math.log(others.shape[1])) / 2

    return reached(after) - reached(before)


def _entropy(probabilities: Tensor) -> Tensor:
    """Of distributions (..., C), in nats."""
    return -torch.xlogy(probabilities, probabilities).sum(-1)


def loss(before: Tensor, after: Tensor, labels: Tensor, targets: Tensor) -> float:
    """What the mean probability of the labels (N,) loses from logits (N, C) to logits (N, C): over all images, or
    over those of the classes ``targets`` (C,), whichever is more."""
    lost = (before.softmax(1) - after.softmax(1)).gather(1, labels[:, None])[:, 0]
    of_target = lost[targets[labels]]
    return max(float(lost.mean()), float(of_target.mean()) if len(of_target) else 0.0)
