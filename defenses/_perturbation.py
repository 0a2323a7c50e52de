"""Smallest perturbations of a latent representation, and which of them is too small to be chance: pure functions.

Iwahana et al., "TAC reconstruction", 2025, arXiv 2511.08944. The compression to C-1 constraints and the reduction to
non-negative least squares (Lawson and Hanson, "Solving Least Squares Problems", chapter 23: least distance
programming) are derived here.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

Array = NDArray[np.float64]


def constraints(
    features: Array, weight: Array, bias: Array, target: int, *, quantile: float = 1.0, margin: float = 0.0
) -> tuple[Array, Array]:
    """The program of class ``target`` as ``V s >= c``, with V (C-1, d) and c (C-1,), whatever the number of images.

    features: latent representations (N, d); weight (C, d), bias (C,): the linear layer behind them. That
    ``features + s`` is to be classified as ``target`` by at least ``margin`` reads, for every other class j and image
    i: (w_t - w_j) s >= (w_j - w_t) x_i + b_j - b_t + margin. Only the image with the largest right side binds;
    ``quantile`` below 1 takes that quantile over the images in its place, so that a few odd images do not decide.
    """
    others = np.arange(len(weight)) != target
    normals = weight[target] - weight[others]
    needed = bias[others] - bias[target] - features @ normals.T + margin
    return normals, np.quantile(needed, quantile, axis=0)


def least_distance(normals: Array, bounds: Array) -> Array | None:
    """The shortest s (d,) with ``normals @ s >= bounds``, exactly; None if there is none.

    Non-negative least squares on E = [V^T; c^T], f = (0, ..., 0, 1): with residual r = E u - f, s = -r[:d] / r[d], and
    r = 0 exactly if the constraints contradict each other. V enters by the triangle of its QR decomposition, which
    leaves at most C-1 rows of it, and both sides scaled to about one.
    """
    if (bounds <= 0).all():
        return np.zeros(normals.shape[1])
    basis, triangle = np.linalg.qr(normals.T)
    size, height = np.linalg.norm(normals, axis=1).max(), np.abs(bounds).max()
    matrix = np.vstack((triangle / size, bounds / height))
    goal = np.zeros(len(matrix))
    goal[-1] = 1
    multipliers, _ = nnls(matrix, goal, maxiter=30 * matrix.shape[1])
    residual = matrix @ multipliers - goal
    if np.linalg.norm(residual) < 1e-7:
        return None
    shortest: Array = basis @ (residual[:-1] / -residual[-1]) * (height / size)
    return shortest
