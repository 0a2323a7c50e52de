"""The quadratic programs of TAC, all classes: non-negative least squares against cvxpy with each free solver.

    python benchmarks/quadratic_program.py

A real instance first (ResNet-18 trained on scikit-learn's digits, 200 reference images), then random ones. For each the
medians of three runs, and the largest relative difference of the norms of the shifts. The ratio is to the fastest
solver of cvxpy that solves the same problem, that is, whose norms agree within 1e-6. cvxpy gets the programs in their
compressed form too, as one parametrised problem that is compiled once (the first call is not counted); the last figure
is the ratio to the same solver with a problem built anew for every class, as one usually writes it.
"""

import time
import warnings
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import cvxpy
import numpy as np
import torch
from numpy.typing import NDArray

from bench.datasets.digits import Digits
from bench.defenses._quadratic_program import constraints, smallest_shifts
from bench.models.resnet18 import ResNet18
from bench.toolbox.networks import Latent
from bench.toolbox.training import Recipe, train

Array = NDArray[np.float64]
SIZES = [(10, 512), (43, 512), (200, 512)]
SOLVERS = ["CLARABEL", "OSQP", "SCS"]
SAME = 1e-6  # relative difference of the norms up to which two solutions are the same
PROGRAMS = 5  # cvxpy solves at most so many classes of one network; its time is scaled up to all


def main() -> None:
    warnings.filterwarnings("ignore")
    compare("real 10x512", *real_instance())
    for classes, dimensions in SIZES:
        compare(f"random {classes}x{dimensions}", *instance(classes, dimensions))


def compare(title: str, features: Array, weight: Array, bias: Array) -> None:
    """Solve one network's programs in every way, and print what it took."""
    classes, dimensions = weight.shape
    seconds, shifts = timed(lambda: smallest_shifts(features, weight, bias), 3)
    norms = np.array([np.nan if shift is None else np.linalg.norm(shift) for shift in shifts])
    count = min(classes, PROGRAMS)
    best, results = (np.inf, "none"), []
    programs = [constraints(features @ weight.T + bias, weight, label) for label in range(count)]
    for solver in SOLVERS:
        solve = compiled(classes, dimensions, solver)
        solve(*programs[0])
        spent, solutions = timed(lambda: [solve(*program) for program in programs], 3)  # noqa: B023
        spent *= classes / count
        difference = float(np.abs(np.array(solutions) / norms[:count] - 1).max())
        results.append(f"{solver} {spent:.3f} s ({difference:.0e})")
        if difference < SAME and spent < best[0]:
            best = (spent, solver)
    print(f"{title}: nnls {seconds:.4f} s; cvxpy with {'; '.join(results)}")
    usual, _ = timed(lambda: [compiled(classes, dimensions, best[1])(*program) for program in programs], 3)
    print(
        f"    {best[0] / seconds:.0f} times as fast as cvxpy with {best[1]}, compiled once; "
        f"{usual * classes / count / seconds:.0f} times, built for every class"
    )


def real_instance() -> tuple[Array, Array, Array]:
    """Latents (200, 512), weight (10, 512) and bias (10,) of a ResNet-18 trained on the digits for a few epochs."""
    torch.manual_seed(0)
    data = Digits(train_size=300).splits(Path()).train
    model = ResNet18(stem="imagenet").build(Digits().spec)
    recipe = Recipe(epochs=3, batch_size=50, learning_rate=0.05, schedule="one-cycle")
    train(model, data, recipe, torch.Generator().manual_seed(0))
    images = data.floats[:200]
    latent = Latent(model, images)
    with torch.no_grad():
        values = (latent.features(images), latent.linear.weight, latent.linear.bias)
    features, weight, bias = (value.detach().double().numpy() for value in values)
    return features, weight, bias


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
