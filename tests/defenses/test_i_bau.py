"""I-BAU: the hypergradient against problems that can be solved outright, and the perturbation of the planted victim."""

import pytest
import torch
from planted import THREE_CLASSES, accuracy, awake_victim, context
from torch import Tensor

from bench.defenses.i_bau import IBAU, Loss, hypergradient
from bench.plugin import Known


def quadratic(iterations: int, rate: float = 0.3) -> tuple[Tensor, Tensor]:
    """The hypergradient of a quadratic inner problem, and the gradient through that problem's exact solution."""
    draws = torch.Generator().manual_seed(0)
    root, mixing, goal, pull = (torch.randn(4, 4, generator=draws).double() for _ in range(4))
    curvature = root @ root.T / 4 + torch.eye(4).double()
    weights = torch.randn(4, generator=draws).double().requires_grad_()

    def inner(point: Tensor) -> Tensor:
        return point @ curvature @ point / 2 - point @ mixing @ weights

    def outer(point: Tensor) -> Tensor:
        return (goal @ point - weights).square().sum() + (pull @ weights).sum()

    solution = torch.linalg.solve(curvature, mixing @ weights)
    (expected,) = torch.autograd.grad(outer(solution), weights)
    (gradient,) = hypergradient(inner, outer, solution, [weights], rate=rate, iterations=iterations)
    return gradient, expected


def test_the_hypergradient_is_that_of_the_solved_inner_problem() -> None:
    torch.testing.assert_close(*quadratic(iterations=200))


def test_every_fixed_point_iteration_adds_a_term_of_the_neumann_series() -> None:
    errors = [float((gradient - expected).norm()) for gradient, expected in map(quadratic, (1, 3, 9, 27))]
    assert errors[0] > errors[1] > errors[2] > errors[3] > 0


def test_weights_that_one_loss_or_neither_depends_on_have_gradients_too() -> None:
    only_inner, only_outer, neither = (torch.ones(1, requires_grad=True) for _ in range(3))
    gradients = hypergradient(
        lambda point: (point - only_inner).square().sum() / 2,
        lambda point: (3 * point * only_outer).sum(),
        torch.ones(1),
        [only_inner, only_outer, neither],
        rate=0.5,
        iterations=60,
    )
    assert [round(float(gradient), 4) for gradient in gradients] == [3, 3, 0]


def test_the_universal_perturbation_is_the_trigger() -> None:
    data = THREE_CLASSES.draw(60, seed=1)
    defense, victim = IBAU(inner_steps=10, radius=3.0, inner_rate=1), awake_victim()
    shift = defense._perturbation(victim, data, 20, context())[0, 0]
    assert bool(THREE_CLASSES.trigger.flatten()[shift.argmax()])
    assert float(shift.norm()) <= 3.0001
    assert accuracy(victim, data.floats + shift, torch.full_like(data.labels, THREE_CLASSES.target)) > 0.95


def test_without_a_radius_the_perturbation_is_longer() -> None:
    data = THREE_CLASSES.draw(60, seed=1)
    free = IBAU(inner_steps=10, radius=None, inner_rate=1)._perturbation(awake_victim(), data, 20, context())
    steps = IBAU(inner_steps=10, radius=1e6, inner_rate=1)._perturbation(awake_victim(), data, 20, context())
    torch.testing.assert_close(free, steps)
    assert float(free.norm()) > 3.1


def test_the_inner_loss_is_that_of_each_batch_or_of_the_rounds_first(monkeypatch: pytest.MonkeyPatch) -> None:
    at, seen = torch.zeros(1, 1, 6, 6), []

    def record(inner: Loss, outer: Loss, point: Tensor, weights: list[Tensor], **settings: object) -> list[Tensor]:
        seen.append(round(float(inner(at).detach()), 6))
        return [torch.zeros_like(weight) for weight in weights]

    monkeypatch.setattr("bench.defenses.i_bau.hypergradient", record)
    data = THREE_CLASSES.draw(60, seed=1)
    for inner in ("batch", "first"):
        IBAU(rounds=2, batch_size=20, inner_steps=1, inner=inner).repair(awake_victim(), Known(data), context())
    batch, first = seen[:6], seen[6:]
    assert len(set(batch)) == 6
    assert first == [batch[0]] * 3 + [batch[3]] * 3


def test_the_perturbation_is_sought_on_varied_images() -> None:
    data = THREE_CLASSES.draw(60, seed=1)
    plain, cropped = (
        IBAU(inner_steps=2, inner_rate=1, **form)._perturbation(awake_victim(), data, 20, context())
        for form in ({}, {"augment": True, "crop": 2})
    )
    assert not torch.equal(plain, cropped)
