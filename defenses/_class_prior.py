"""Whether a network gives clean images a class more seldom than they have it: what a clean-label attack leaves behind.

Such an attack puts its trigger on images of the target class alone, so that clean images are a smaller part of that
class than of others. The network learns this prior, and where an image could be of several classes, it prefers the
others. The measure is our own; what it was chosen on stands in docs/findings/tac.md.
"""

import numpy as np
import scipy  # its parts are loaded when they are used; scipy.optimize is slow to load
from numpy.typing import NDArray

Array = NDArray[np.float64]

NATURAL = 0.1  # the spread of ``shortfalls`` among the classes of networks without such a backdoor, or a little more
HOTTEST = 100.0  # temperature to look for
FEWEST = 3  # classes: with two, what one is given too seldom the other is given too often


def shortfalls(logits: Array, labels: NDArray[np.int64]) -> tuple[Array, Array]:
    """By how much each class is given too seldom to images with ``logits`` (N, C) and ``labels`` (N,); and on what.

    That is, for class c, (N_c - sum p_ic) / sqrt(N_c * sum p_ic (1 - p_ic)), with N_c images of the class and the
    probability p_ic that the network gives it for image i. It is 0 of a class that is given as often as it occurs;
    to change the class's prior by d in logits changes it by about d times the root of sum p_ic (1 - p_ic) / N_c. Of a
    calibrated network it has the standard deviation 1 / sqrt(N_c) by chance. Probabilities are those at a temperature
    of 1, or the higher one that suits the labels best (Guo et al., ICML 2017), for a network that is too sure sees
    fewer doubtful images than there are. Returned are the shortfalls (C,) and the numbers N_c (C,); a shortfall is NaN
    where a class has no image.
    """
    probabilities = scipy.special.softmax(logits / _temperature(logits, labels), axis=1)
    counts = np.bincount(labels, minlength=logits.shape[1]).astype(float)
    doubt = (probabilities * (1 - probabilities)).sum(0)
    with np.errstate(divide="ignore", invalid="ignore"):
        values: Array = (counts - probabilities.sum(0)) / np.sqrt(counts * doubt)
    values[~np.isfinite(values)] = np.nan
    return values, counts


def seldom_given(logits: Array, labels: NDArray[np.int64]) -> tuple[Array, Array]:
    """A test of each class, whether it is given more seldom than chance and nature explain: z (C,) and p values (C,).

    Shortfalls differ among the classes of every network. So their variance is taken to be that of chance, and the
    natural one: ``NATURAL`` squared, or what the other classes show, if that is more. z is the shortfall with its sign
    changed, in standard deviations: the smallest is the most suspicious, as elsewhere. A p value is that of a normal
    z, or by Student's distribution where the other classes had to show the spread, times the number of classes. It is
    1 where a class has no images, or fewer than ``FEWEST`` classes have any; z is NaN there.
    """
    values, counts = shortfalls(logits, labels)
    usable = np.isfinite(values)
    z, p_values = np.full(len(values), np.nan), np.ones(len(values))
    if usable.sum() < FEWEST:
        return z, p_values
    excess = values**2 - 1 / np.maximum(counts, 1)  # of their squares over those of chance
    for label in np.flatnonzero(usable):
        others = usable & (np.arange(len(values)) != label)
        seen = float(excess[others].mean())
        z[label] = -values[label] / np.sqrt(1 / counts[label] + max(NATURAL**2, seen))
        tail = scipy.special.stdtr(others.sum(), z[label]) if seen > NATURAL**2 else scipy.special.ndtr(z[label])
        p_values[label] = min(1.0, usable.sum() * tail)
    return z, p_values


def _temperature(logits: Array, labels: NDArray[np.int64]) -> float:
    """The temperature, at least 1, with which the probabilities suit the labels best."""
    if not len(labels):
        return 1.0

    def surprise(logarithm: float) -> float:
        logs = scipy.special.log_softmax(logits / np.exp(logarithm), axis=1)
        return -float(logs[np.arange(len(labels)), labels].mean())

    found = scipy.optimize.minimize_scalar(surprise, bounds=(0.0, np.log(HOTTEST)), method="bounded")
    return float(np.exp(found.x)) if found.fun < surprise(0.0) else 1.0
