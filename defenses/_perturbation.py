"""Smallest perturbations that lead images to a class, and whether the smallest of all is too small to be chance.

Three pure parts: the quadratic program over the latent representation, a search for adversarial distances at any
place of a network, and outlier tests.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import scipy  # its parts are loaded when they are used
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

Array = NDArray[np.float64]


# --- the quadratic program ---------------------------------------------------------------------------


def smallest_shifts(
    features: Array, weight: Array, bias: Array, *, quantile: float = 1.0, margin: float = 0.0
) -> list[Array | None]:
    """For every class the shortest s (d,) that leads all images to it; None where no s does.

    features: latent representations (N, d); weight (C, d), bias (C,): the linear layer behind them; quantile and
    margin as in ``constraints``. The programs are solved in the span of the rows of ``weight``, where their solutions
    lie.
    """
    logits = features @ weight.T + bias
    basis, coordinates = np.linalg.qr(weight.T)
    shifts = (
        least_distance(*constraints(logits, coordinates.T, target, quantile=quantile, margin=margin))
        for target in range(len(weight))
    )
    return [None if shift is None else basis @ shift for shift in shifts]


def constraints(
    logits: Array, weight: Array, target: int, *, quantile: float = 1.0, margin: float = 0.0
) -> tuple[Array, Array]:
    """The program of class ``target`` as ``V s >= c``: V (C-1, d), c (C-1,), whatever the number of images.

    That an image with logits (C,) is given ``target`` by at least ``margin`` once s is added to its latent reads, for
    every other class j: (w_t - w_j) s >= logit_j - logit_t + margin. Only the image with the largest right side binds
    (Iwahana et al., 2025, in compressed form). A ``quantile`` below 1 takes that quantile over the images in place of
    the largest, so that a few odd images do not decide.
    """
    others = np.arange(len(weight)) != target
    gaps = logits[:, others] - logits[:, [target]] + margin
    bounds = gaps.max(0) if quantile == 1 else np.quantile(gaps, quantile, axis=0)
    return weight[target] - weight[others], bounds


def least_distance(normals: Array, bounds: Array) -> Array | None:
    """The shortest s (d,) with ``normals @ s >= bounds``, exactly; None if the constraints contradict each other.

    Lawson and Hanson, "Solving Least Squares Problems", chapter 23: the non-negative least squares problem
    E u = f with E = [V^T; c^T], f = (0, ..., 0, 1) has a residual r = E u - f with s = -r[:d] / r[d], and r = 0 where
    there is no s. Both sides are first scaled to about one, which makes "r = 0" mean the same for every network.
    """
    if (bounds <= 0).all():
        return np.zeros(normals.shape[1])
    size, height = np.linalg.norm(normals, axis=1).max(), np.abs(bounds).max()
    if size == 0:
        return None
    matrix = np.vstack((normals.T / size, bounds / height))
    goal = np.zeros(len(matrix))
    goal[-1] = 1
    multipliers, distance = scipy.optimize.nnls(matrix, goal, maxiter=30 * matrix.shape[1])
    if distance < 1e-6:
        return None
    residual = matrix @ multipliers - goal
    shift: Array = residual[:-1] / -residual[-1] * (height / size)
    return shift


# --- adversarial distances ---------------------------------------------------------------------------


def distances(
    head: Callable[[Tensor], Tensor], activations: Tensor, classes: int, *, steps: int = 25, chunk: int = 512
) -> Tensor:
    """How far each image is from each class: the L2 norm (C, N) of the smallest change of its activations (N, ...)
    found with which ``head``, the rest of the network, gives it the class.

    Rony et al., "Decoupling Direction and Norm", CVPR 2019: steps along the normalised gradient, on a sphere that
    shrinks while the class is reached and grows while it is not. Zero where the class is given without a change; where
    it was never reached, the last radius tried. Deterministic.
    """
    scale = activations.flatten(1).norm(dim=1).median()
    count = len(activations)
    pairs = torch.arange(classes * count, device=activations.device)
    found = [
        _distances(head, activations[part % count], F.one_hot(part // count, classes).bool(), 0.15 * scale, steps)
        for part in pairs.split(chunk)
    ]
    return torch.cat(found).view(classes, count)


def _distances(
    head: Callable[[Tensor], Tensor], activations: Tensor, own: Tensor, radius: Tensor, steps: int
) -> Tensor:
    """The norms (M,) of the smallest found changes of activations (M, ...) to the classes of the mask own (M, C)."""
    per_image = (slice(None), *[None] * (activations.ndim - 1))

    def norms(values: Tensor) -> Tensor:
        lengths: Tensor = values.flatten(1).norm(dim=1).clamp_min(1e-12)
        return lengths

    change = torch.zeros_like(activations)
    radii = radius.expand(len(activations)).clone()
    smallest = torch.full_like(radii, torch.inf)
    for step in range(steps):
        change.requires_grad_()
        logits = head(activations + change).float()
        lead = logits[own] - logits.masked_fill(own, -torch.inf).amax(1)
        (gradient,) = torch.autograd.grad(F.softplus(-lead).sum(), change)
        with torch.no_grad():
            reached = lead > 0
            smallest = torch.where(reached, smallest.minimum(change.flatten(1).norm(dim=1)), smallest)
            if step:
                radii *= torch.where(reached, 0.88, 1.12)
            length = 0.15 * (1 + np.cos(np.pi * step / steps)) + 0.02
            change = change.detach() - gradient * (length * radii / norms(gradient))[per_image]
            change *= (radii / norms(change))[per_image]
    return smallest.where(smallest.isfinite(), radii)


# --- outliers ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Outlier:
    """What a one-sided test says of the smallest of C values: its class, every class's z (C,), the p value."""

    index: int
    z: Array
    p_value: float


def smallest_is_outlier(values: Array, test: Literal["grubbs", "extreme"] = "grubbs") -> Outlier:
    """A one-sided test whether the smallest of ``values`` (C,) is too small to be chance.

    z = (value - mean) / sample standard deviation is never below -(C-1)/sqrt(C), so a fixed threshold of 3 could not
    be passed with ten classes. grubbs: Grubbs, 1950, which accounts for that (Bonferroni's bound of the p value).
    extreme: 1 - (1 - Phi(z))^C, the smallest of C independent standard normal values. Values that are not finite take
    no part: their z is NaN. Below three values there is nothing to say: the p value is 1.
    """
    finite = np.isfinite(values)
    count = int(finite.sum())
    z = np.full(len(values), np.nan)
    spread = values[finite].std(ddof=1) if count > 1 else 0.0
    if count < 3 or spread == 0:
        return Outlier(0, z, 1.0)
    z[finite] = (values[finite] - values[finite].mean()) / spread
    index = int(np.nanargmin(z))
    if test == "extreme":
        return Outlier(index, z, float(-np.expm1(count * scipy.stats.norm.logsf(z[index]))))
    # of Grubbs' statistic to Student's t with C - 2 degrees of freedom; share = t^2 / (C - 2 + t^2)
    share = min(z[index] ** 2 * count / (count - 1) ** 2, 1 - 1e-15)
    student = np.sqrt((count - 2) * share / (1 - share))
    return Outlier(index, z, float(min(1.0, count * scipy.stats.t.sf(student, count - 2))))


def small_outliers(
    values: Array,
    significance: float,
    at_most: int,
    test: Literal["grubbs", "extreme"] = "grubbs",
    *,
    further: float | None = None,
) -> tuple[list[int], Outlier]:
    """Which of ``values`` are too small to be chance, smallest first, and what is said of the smallest alone.

    The generalised test of Rosner, 1983: the smallest is tested and taken away, ``at_most`` times; the last that is too
    small decides how many are, for two equal outliers hide each other from a test of one. ``further`` is the level of
    all tests but the first, the same if None.
    """
    left, taken, count = values.astype(float), [], 0
    first = smallest_is_outlier(values, test)
    for number in range(min(at_most, len(values) - 2)):
        found = smallest_is_outlier(left, test)
        taken.append(found.index)
        if found.p_value <= (significance if further is None or not number else further):
            count = number + 1
        left[found.index] = np.nan
    return taken[:count], first
