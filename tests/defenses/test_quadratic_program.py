"""TAC's quadratic program: compressed against whole, least squares against cvxpy, and what has no solution."""

from pathlib import Path

import cvxpy
import numpy as np
import pytest
import torch

from bench.datasets.digits import Digits
from bench.defenses._quadratic_program import constraints, cvxpy_program, least_distance, smallest_shifts
from bench.models.resnet18 import ResNet18
from bench.toolbox.networks import Latent
from bench.toolbox.training import Recipe, train


def problem(classes, dimensions, images=40, seed=0):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((images, dimensions)), rng.standard_normal((classes, dimensions)), rng.random(classes)


def cvxpy_norm(normals, bounds):
    shift = cvxpy.Variable(normals.shape[1])
    program = cvxpy.Problem(cvxpy.Minimize(cvxpy.sum_squares(shift)), [normals @ shift >= bounds])
    program.solve(solver="CLARABEL", tol_gap_abs=1e-12, tol_gap_rel=1e-12, tol_feas=1e-12)
    return np.linalg.norm(shift.value) if program.status.startswith("optimal") else np.inf


def every_image(features, weight, bias, target, margin=0.0):
    """The program as the paper writes it: a constraint for each image and each other class."""
    others = [j for j in range(len(weight)) if j != target]
    rows = [(weight[target] - weight[j], x, bias[target] - bias[j]) for x in features for j in others]
    return np.array([row for row, _, _ in rows]), np.array([margin - offset - row @ x for row, x, offset in rows])


@pytest.mark.parametrize(
    ("classes", "dimensions", "margin"), [(10, 64, 0.0), (10, 64, 1.5), (30, 40, 0.1), (3, 5, 0.0)]
)
def test_the_compressed_program_has_the_solution_of_the_whole_one(classes, dimensions, margin):
    features, weight, bias = problem(classes, dimensions)
    shifts = smallest_shifts(features, weight, bias, margin=margin)
    for target in range(3):
        normals, bounds = every_image(features, weight, bias, target, margin)
        assert np.linalg.norm(shifts[target]) == pytest.approx(cvxpy_norm(normals, bounds), rel=1e-6)
        assert (normals @ shifts[target] >= bounds - 1e-9).all()


def test_on_a_real_network_the_norms_are_cvxpys():
    """A ResNet-18 trained on real digits, 512 latent dimensions, 200 images: every class."""
    torch.manual_seed(0)
    data = Digits(train_size=300).splits(Path()).train
    model = ResNet18(stem="imagenet").build(Digits().spec)
    recipe = Recipe(epochs=3, batch_size=50, learning_rate=0.05, schedule="one-cycle")
    train(model, data, recipe, torch.Generator().manual_seed(0))
    latent = Latent(model, data.floats[:1])
    with torch.no_grad():
        values = (latent.features(data.floats[:200]), latent.linear.weight, latent.linear.bias)
    features, weight, bias = (value.detach().double().numpy() for value in values)
    shifts = smallest_shifts(features, weight, bias)
    expected = [cvxpy_norm(*constraints(features @ weight.T + bias, weight, target)) for target in range(10)]
    assert [np.linalg.norm(shift) for shift in shifts] == pytest.approx(expected, rel=1e-6)


def test_with_more_classes_than_dimensions_some_shifts_exist_and_the_others_are_none():
    features, weight, bias = problem(12, 3, seed=1)
    logits = features @ weight.T + bias
    expected = [cvxpy_norm(*constraints(logits, weight, target)) for target in range(12)]
    norms = [np.inf if s is None else np.linalg.norm(s) for s in smallest_shifts(features, weight, bias)]
    np.testing.assert_allclose(norms, expected, rtol=1e-6)
    assert np.isinf(norms).any()
    assert np.isfinite(norms).any()


@pytest.mark.parametrize(("classes", "dimensions", "quantile"), [(10, 64, 1.0), (10, 64, 0.95), (4, 8, 1.0)])
def test_both_solvers_give_the_same_shifts(classes, dimensions, quantile):
    features, weight, bias = problem(classes, dimensions, seed=classes)
    by_nnls, by_cvxpy = (
        smallest_shifts(features, weight, bias, quantile=quantile, margin=0.2, solver=solver)
        for solver in ("nnls", "cvxpy")
    )
    for one, other in zip(by_nnls, by_cvxpy, strict=True):
        np.testing.assert_allclose(other, one, rtol=1e-4, atol=1e-5)


def test_both_solvers_name_the_same_classes_that_have_no_shift():
    features, weight, bias = problem(12, 3, seed=1)
    by_nnls, by_cvxpy = (
        [shift is None for shift in smallest_shifts(features, weight, bias, solver=solver)]
        for solver in ("nnls", "cvxpy")
    )
    assert by_nnls == by_cvxpy
    assert True in by_nnls
    assert False in by_nnls


def test_further_constraints_can_be_added_to_the_cvxpy_program():
    normals, bounds = np.array([[1.0, -1.0]]), np.array([2.0])
    plain = least_distance(normals, bounds, solver="cvxpy")
    np.testing.assert_allclose(plain, [1, -1], atol=1e-6)
    program, shift = cvxpy_program(normals, bounds)
    cvxpy.Problem(program.objective, [*program.constraints, shift >= 0]).solve(solver="CLARABEL")
    np.testing.assert_allclose(shift.value, [2, 0], atol=1e-6)


def test_a_class_inside_the_hull_of_the_others_has_no_shift():
    features, weight, bias = problem(5, 16)
    weight[2] = weight[[0, 1, 3, 4]].mean(0)
    assert [s is None for s in smallest_shifts(features, weight, bias, margin=50)] == [False, False, True, False, False]


def test_a_class_that_all_images_are_given_needs_no_shift():
    assert np.array_equal(least_distance(np.eye(2), np.array([-1.0, 0.0])), np.zeros(2))


def test_a_quantile_ignores_a_few_odd_images():
    features, weight, bias = problem(4, 16, images=100)
    odd = np.vstack((features, 50 * features[:1]))
    plain = np.linalg.norm(smallest_shifts(features, weight, bias, quantile=0.98)[1])
    assert np.linalg.norm(smallest_shifts(odd, weight, bias, quantile=0.98)[1]) == pytest.approx(plain, rel=0.2)
    assert np.linalg.norm(smallest_shifts(odd, weight, bias)[1]) > 2 * plain
