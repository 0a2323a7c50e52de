"""Whether a network gives clean images a class more seldom than they have it: what a clean-label attack leaves behind.

Such an attack puts its trigger on images of the target class alone, so that clean images are a smaller part of that
class than of others. The network learns this prior, and where an image could be of several classes, it prefers the
others. The measure is our own; what it was chosen on stands in docs/findings/tac.md.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy  # its parts are loaded when they are used; scipy.optimize is slow to load
from numpy.typing import NDArray

Array = NDArray[np.float64]

NATURAL = 0.15  # in logits, how far the classes' priors are off in networks without such a backdoor, or a little more
WIDEST = 10.0  # the same in any network
HOTTEST = 100.0  # temperature to look for
FEWEST = 3  # classes: with two, what one is given too seldom the other is given too often
NOTHING = 1e-9  # images that are in doubt between classes: fewer say nothing about their priors
KNOWN = 0.25  # share of a class's bias that must be known; of two in doubt with each other alone it is half


@dataclass(frozen=True)
class Priors:
    """For each of C classes by how much its prior was ``lowered``, in logits, and a one-sided test of that.

    A class of which half of the training images carried the trigger may be lowered by log 2. ``z`` (C,) is that with
    its sign changed, in standard deviations: the smallest is the most suspicious, as elsewhere. ``p_values`` (C,) are
    times the number of classes. NaN, and a p value of 1, where nothing can be said.
    """

    lowered: Array
    z: Array
    p_values: Array


def lowered_priors(logits: Array, labels: NDArray[np.int64]) -> Priors:
    """How much lower the prior of a class is than that of others, by images' ``logits`` (N, C) and ``labels`` (N,).

    Let the right logits be those of the network and a bias for each class, those that suit the labels best. By chance
    they have the covariance W^-1, W being the sum over the images of diag(p) - p p'. By nature, those of any network
    differ as well, with the deviation ``NATURAL``, or what the other classes show if that is more. To this each class
    in turn has an excess of its own, which generalised least squares give. The test is by the normal distribution, or
    by Student's where the other classes had to show the spread.

    The probabilities are those at a temperature of 1, or at the higher one that suits the labels best (Guo et al., ICML
    2017), for a network that is too sure sees fewer doubtful images than there are. Classes without images take no
    part. With fewer than ``FEWEST`` that have any nothing is said, nor of a class that is in doubt with no other.
    """
    classes = logits.shape[1]
    usable = np.bincount(labels, minlength=classes) > 0
    lowered, z, p_values = np.full(classes, np.nan), np.full(classes, np.nan), np.ones(classes)
    if usable.sum() >= FEWEST:
        present = (np.cumsum(usable) - 1)[labels]
        lowered[usable], z[usable], p_values[usable] = _tested(logits[:, usable], present)
    return Priors(lowered, z, p_values)


def _tested(logits: Array, labels: NDArray[np.int64]) -> tuple[Array, Array, Array]:
    """The excesses, z and p values (C,) of classes that all have images."""
    logits = logits / _temperature(logits, labels)
    biases = _biases(logits, labels)
    known, axes = np.linalg.eigh(_information(scipy.special.softmax(logits + biases, axis=1)))
    known, axes = known[known > NOTHING], axes[:, known > NOTHING]  # a bias that all classes share changes nothing
    tested = np.array([_excess(axis, axes.T @ biases, 1 / known) for axis in axes])
    return tested[:, 0], tested[:, 1], np.minimum(1, len(tested) * tested[:, 2])


def _biases(logits: Array, labels: NDArray[np.int64]) -> Array:
    """The biases (C,) that suit the labels best; of ``WIDEST``, loosely, where nothing else bounds them."""
    counts = np.bincount(labels, minlength=logits.shape[1])
    wide = np.eye(logits.shape[1]) / WIDEST**2

    def surprise(biases: Array) -> tuple[float, Array]:
        logs = scipy.special.log_softmax(logits + biases, axis=1)
        value = -logs[np.arange(len(labels)), labels].sum() + biases @ wide @ biases / 2
        return float(value), np.exp(logs).sum(0) - counts + wide @ biases

    def curvature(biases: Array) -> Array:
        return _information(scipy.special.softmax(logits + biases, axis=1)) + wide

    start = np.zeros(logits.shape[1])
    found: Array = scipy.optimize.minimize(surprise, start, jac=True, hess=curvature, method="trust-exact").x
    return found


def _information(probabilities: Array) -> Array:
    """What images with ``probabilities`` (N, C) tell of biases, (C, C): the sum over them of diag(p) - p p'."""
    information: Array = np.diag(probabilities.sum(0)) - probabilities.T @ probabilities
    return information


def _excess(axis: Array, biases: Array, chance: Array) -> tuple[float, float, float]:
    """The excess of a class that is along ``axis`` (K,), z, and the p value of this class alone.

    biases, chance (K,): those found and their variances by chance, along axes on which they are independent.
    """
    if axis @ axis < KNOWN:
        return np.nan, np.nan, 1.0

    def fitted(spread: float) -> tuple[float, float]:
        weights = axis / (chance + spread**2)
        return float(weights @ biases), float(weights @ axis)

    def surprise(spread: float) -> float:
        """The restricted likelihood of a spread, with its sign changed, doubled."""
        toward, precision = fitted(spread)
        variance = chance + spread**2
        return float((biases**2 / variance + np.log(variance)).sum() - toward**2 / precision + np.log(precision))

    spread = _least_surprising(surprise, NATURAL, WIDEST)
    toward, precision = fitted(spread)
    z = -toward / precision**0.5
    tail = scipy.special.stdtr(max(1, len(chance) - 1), z) if spread > NATURAL else scipy.special.ndtr(z)
    return toward / precision, z, float(tail)


def _temperature(logits: Array, labels: NDArray[np.int64]) -> float:
    """The temperature, at least 1, with which the probabilities suit the labels best."""

    def surprise(temperature: float) -> float:
        logs = scipy.special.log_softmax(logits / temperature, axis=1)
        return -float(logs[np.arange(len(labels)), labels].mean())

    return _least_surprising(surprise, 1.0, HOTTEST)


def _least_surprising(surprise: Callable[[float], float], lowest: float, highest: float) -> float:
    """The value from ``lowest`` to ``highest``, both above 0, at which ``surprise`` is least."""
    bounds = float(np.log(lowest)), float(np.log(highest))
    found = scipy.optimize.minimize_scalar(lambda log: surprise(float(np.exp(log))), bounds=bounds, method="bounded")
    return float(np.exp(found.x)) if found.fun < surprise(lowest) else lowest  # bounds themselves are not tried
