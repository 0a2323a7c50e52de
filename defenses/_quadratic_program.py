"""The quadratic program of TAC: the shortest shift of the latent representation that gives all images one class.

Iwahana et al., 2025, arXiv 2511.08944, in compressed form: C - 1 constraints, whatever the number of images.
"""

from importlib import import_module
from typing import Any, Literal

import numpy as np
import scipy  # its parts are loaded when they are used
from numpy.typing import NDArray

Array = NDArray[np.float64]
Solver = Literal["nnls", "cvxpy"]

CONTRADICTION = 1e-6  # residual of the scaled least squares problem below which its constraints contradict each other
TOLERANCES = dict.fromkeys(("tol_gap_abs", "tol_gap_rel", "tol_feas"), 1e-11)  # of Clarabel, cvxpy's solver


def smallest_shifts(
    features: Array,
    weight: Array,
    bias: Array,
    *,
    quantile: float = 1.0,
    margin: float = 0.0,
    solver: Solver = "nnls",
) -> list[Array | None]:
    """For every class the shortest shift (d,) with which all images are given that class; None where none exists.

    features: latent representations (N, d); weight (C, d), bias (C,): the linear layer behind them; quantile and
    margin as in ``constraints``; solver as in ``least_distance``. nnls solves the programs in the span of the rows of
    ``weight``, where their solutions lie; cvxpy solves them in the whole latent space. Raises ValueError for features,
    weights or biases that are not finite.
    """
    for name, values in {"features": features, "weight": weight, "bias": bias}.items():
        if not np.isfinite(values).all():
            raise ValueError(f"{name}: {int((~np.isfinite(values)).sum())} values are not finite")
    logits = features @ weight.T + bias
    basis, rows = (None, weight) if solver == "cvxpy" else _in_span(weight)
    shifts = (
        least_distance(*constraints(logits, rows, target, quantile=quantile, margin=margin), solver=solver)
        for target in range(len(weight))
    )
    return [shift if shift is None or basis is None else basis @ shift for shift in shifts]


def constraints(
    logits: Array, weight: Array, target: int, *, quantile: float = 1.0, margin: float = 0.0
) -> tuple[Array, Array]:
    """The program of class ``target`` as ``V s >= c``: V (C-1, d) and c (C-1,).

    An image with logits (C,) is given ``target`` by at least ``margin`` once s is added to its latent if, for every
    other class j, (w_t - w_j) s >= logit_j - logit_t + margin. Only the image with the largest right side binds.
    A ``quantile`` below 1 takes that quantile over the images in place of the largest, so that a few odd images do not
    decide.
    """
    others = np.arange(len(weight)) != target
    gaps = logits[:, others] - logits[:, [target]] + margin
    bounds = gaps.max(0) if quantile == 1 else np.quantile(gaps, quantile, axis=0)
    return weight[target] - weight[others], bounds


def least_distance(normals: Array, bounds: Array, *, solver: Solver = "nnls") -> Array | None:
    """The shortest s (d,) with ``normals @ s >= bounds``; None if the constraints contradict each other.

    Both sides are first scaled to about one, which makes "contradict" mean the same for every network.
    """
    if (bounds <= 0).all():
        return np.zeros(normals.shape[1])
    size, height = np.linalg.norm(normals, axis=1).max(), np.abs(bounds).max()
    if size == 0:
        return None
    solve = _by_cvxpy if solver == "cvxpy" else _by_nnls
    shift = solve(normals / size, bounds / height)
    return None if shift is None else shift * (height / size)


def cvxpy_program(normals: Array, bounds: Array) -> tuple[Any, Any]:
    """The same program as a ``cvxpy.Problem``, and its ``cvxpy.Variable`` s (d,), for which further constraints can be
    written: ``cvxpy.Problem(problem.objective, [*problem.constraints, s >= 0])``."""
    cvxpy: Any = import_module("cvxpy")  # only here: it takes a second to load
    shift = cvxpy.Variable(normals.shape[1])
    return cvxpy.Problem(cvxpy.Minimize(cvxpy.sum_squares(shift)), [normals @ shift >= bounds]), shift


def _in_span(weight: Array) -> tuple[Array, Array]:
    """An orthonormal basis (d, k) of the span of the rows of ``weight`` (C, d), and the rows' coordinates (C, k)."""
    basis, coordinates = np.linalg.qr(weight.T)
    return basis, coordinates.T


def _by_nnls(normals: Array, bounds: Array) -> Array | None:
    """Exact, by Lawson and Hanson, "Solving Least Squares Problems", chapter 23.

    The non-negative least squares problem E u = f with E = [V^T; c^T] and f = (0, ..., 0, 1) has a residual
    r = E u - f with s = -r[:d] / r[d], and r = 0 where there is no s.
    """
    matrix = np.vstack((normals.T, bounds))
    goal = np.zeros(len(matrix))
    goal[-1] = 1
    multipliers, distance = scipy.optimize.nnls(matrix, goal, maxiter=30 * matrix.shape[1])
    if distance < CONTRADICTION:
        return None
    residual = matrix @ multipliers - goal
    shift: Array = residual[:-1] / -residual[-1]
    return shift


def _by_cvxpy(normals: Array, bounds: Array) -> Array | None:
    """By an interior point method. Raises RuntimeError where that ends without an answer."""
    problem, shift = cvxpy_program(normals, bounds)
    options: dict[str, Any] = {"solver": "CLARABEL", **TOLERANCES}
    problem.solve(**options)
    if problem.status.startswith("infeasible"):
        return None
    if not problem.status.startswith("optimal"):
        raise RuntimeError(f"cvxpy: status {problem.status!r}: expected optimal or infeasible")
    solution: Array = np.asarray(shift.value, dtype=float)
    return solution
