"""The quadratic programs of TAC, all classes: non-negative least squares against cvxpy with each free solver.

    python benchmarks/quadratic_program.py

One line a size (classes x latent dimensions, 200 images): the medians of three runs, the ratio to the fastest solver
of cvxpy that is right (norms within 1e-4), and the largest relative difference of the norms. cvxpy gets the programs
in their compressed form too, as one parametrised problem that is compiled once; the first call is not counted. The
second line also gives the ratio to the same solver with a problem built anew for every class, as one usually writes it.
"""

import time
import warnings
from collections.abc import Callable
from statistics import median
from typing import Any

import cvxpy
import numpy as np
from numpy.typing import NDArray

from defenses._perturbation import constraints, smallest_shifts

Array = NDArray[np.float64]
SIZES = [(10, 512), (43, 512), (200, 512)]
SOLVERS = ["CLARABEL", "OSQP", "SCS"]
PROGRAMS = 5  # cvxpy solves at most so many classes of one network; its time is scaled up to all


def main() -> None:
    warnings.filterwarnings("ignore")
    for classes, dimensions in SIZES:
        features, weight, bias = instance(classes, dimensions)
        seconds, shifts = timed(lambda: smallest_shifts(features, weight, bias), 3)  # noqa: B023
        norms = np.array([np.linalg.norm(shift) for shift in shifts if shift is not None])
        count = min(classes, PROGRAMS)
        best, results = (np.inf, "none", np.nan), []
        programs = [constraints(features @ weight.T + bias, weight, label) for label in range(count)]
        for solver in SOLVERS:
            solve = compiled(classes, dimensions, solver)
            solve(*programs[0])
            spent, found = timed(lambda: [solve(*program) for program in programs], 3)  # noqa: B023
            spent *= classes / count
            error = float(np.abs(np.array(found) / norms[:count] - 1).max())
            results.append(f"{solver} {spent:.3f} s (difference {error:.0e})")
            if error < 1e-4 and spent < best[0]:
                best = (spent, solver, error)
        print(f"{classes}x{dimensions}: nnls {seconds:.4f} s; {'; '.join(results)}")
        usual, _ = timed(lambda: [compiled(classes, dimensions, best[1])(*program) for program in programs], 3)  # noqa: B023
        print(
            f"    {best[0] / seconds:.0f} times as fast as cvxpy with {best[1]}, compiled once; "
            f"{usual * classes / count / seconds:.0f} times, built for every class"
        )


def instance(classes: int, dimensions: int) -> tuple[Array, Array, Array]:
    """A trained classifier's look: latents (N, d) scattered about their class's mean, weights along those means."""
    rng = np.random.default_rng(classes)
    means = rng.standard_normal((classes, dimensions)).clip(0)
    features = means[np.arange(200) % classes] + 0.3 * rng.standard_normal((200, dimensions))
    weight = means - means.mean(0) + 0.1 * rng.standard_normal(means.shape)
    return features, weight / np.sqrt(dimensions), 0.1 * rng.standard_normal(classes)


def compiled(classes: int, dimensions: int, solver: str) -> Callable[[Array, Array], float]:
    """A function of a program's V (C-1, d) and c (C-1,): the norm of its solution by cvxpy."""
    normals, bounds = cvxpy.Parameter((classes - 1, dimensions)), cvxpy.Parameter(classes - 1)
    shift = cvxpy.Variable(dimensions)
    problem = cvxpy.Problem(cvxpy.Minimize(cvxpy.sum_squares(shift)), [normals @ shift >= bounds])

    def solve(values: Array, limits: Array) -> float:
        normals.value, bounds.value = values, limits
        problem.solve(solver=solver)
        return float(np.linalg.norm(shift.value))

    return solve


def timed(call: Callable[[], Any], runs: int) -> tuple[float, Any]:
    """The median of the seconds of some runs, and the last result."""
    spent = []
    for _ in range(runs):
        start = time.perf_counter()
        result = call()
        spent.append(time.perf_counter() - start)
    return median(spent), result


if __name__ == "__main__":
    main()
