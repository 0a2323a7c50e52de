"""FT-SAM: the perturbation, and the loss at the perturbed weights, against direct computations."""

import copy
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from planted import THREE_CLASSES
from small_networks import TwoStages
from torch import Tensor

from bench.defenses.ft_sam import Sharpness, perturbation


def test_no_other_perturbation_of_that_adaptive_norm_raises_the_loss_more() -> None:
    draws = torch.Generator().manual_seed(0)
    shapes: Sequence[tuple[int, ...]] = [(4, 3), (5,)]
    weights, gradients = ([torch.randn(shape, generator=draws) for shape in shapes] for _ in range(2))
    worst = perturbation(weights, gradients, rho=2.0)

    def norm(shifts: Sequence[Tensor]) -> Tensor:
        return torch.cat([(shift / weight).flatten() for shift, weight in zip(shifts, weights, strict=True)]).norm()

    def rise(shifts: Sequence[Tensor]) -> float:
        return float(sum((shift * slope).sum() for shift, slope in zip(shifts, gradients, strict=True)))

    torch.testing.assert_close(norm(worst), torch.tensor(2.0))
    for _ in range(300):
        other = [shift + torch.randn(shift.shape, generator=draws) * 0.2 for shift in worst]
        other = [shift * (2 / norm(other)) for shift in other]
        assert rise(other) <= rise(worst) + 1e-5


def test_the_loss_and_its_gradient_are_those_of_the_worst_weights() -> None:
    data, model = THREE_CLASSES.draw(20, seed=1), TwoStages().train()
    images, labels = data.floats, data.labels
    moved = copy.deepcopy(model)
    weights = list(moved.parameters())
    slopes = torch.autograd.grad(F.cross_entropy(moved(images), labels, label_smoothing=0.1), weights)
    scaled = torch.cat([(weight * slope).flatten() for weight, slope in zip(weights, slopes, strict=True)])
    with torch.no_grad():
        for weight, slope in zip(weights, slopes, strict=True):
            weight += 0.5 * weight.square() * slope / scaled.norm()
    expected = F.cross_entropy(moved(images), labels, label_smoothing=0.1)
    loss = Sharpness(0.5, 0.1).loss(model, images, labels, 0.0)
    torch.testing.assert_close(loss, expected)
    ours = torch.autograd.grad(loss, list(model.parameters()))
    for one, other in zip(ours, torch.autograd.grad(expected, weights), strict=True):
        torch.testing.assert_close(one, other)


def test_batch_normalisation_keeps_the_statistics_at_the_unperturbed_weights() -> None:
    data, model, plain = THREE_CLASSES.draw(20, seed=1), TwoStages().train(), TwoStages().train()
    Sharpness(5.0, 0.0).loss(model, data.floats, data.labels, 0.0)
    plain(data.floats)
    for one, other in zip(model.buffers(), plain.buffers(), strict=True):
        torch.testing.assert_close(one, other)
