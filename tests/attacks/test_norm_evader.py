"""Norm evader: the norms against the exact quadratic program, and what the regulariser does to them."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from attack_helpers import seeded
from scipy.optimize import nnls
from torch import Tensor, nn

from bench.attacks.badnets import BadNets
from bench.attacks.norm_evader import NormEvader, conspicuousness, shift_norms


@pytest.fixture
def latents() -> tuple[Tensor, Tensor, Tensor]:
    """Features (80, 12), weight (6, 12), bias (6,) of a linear layer that classifies them fairly well."""
    generator = torch.Generator().manual_seed(2)
    weight = torch.randn(6, 12, generator=generator)
    features = 2 * weight[torch.arange(80) % 6] + torch.randn(80, 12, generator=generator)
    return features, weight, torch.randn(6, generator=generator)


def exact_norms(features: Tensor, weight: Tensor, bias: Tensor) -> list[float]:
    """The norm for every class, by least distance programming (Lawson and Hanson 1974, chapter 23)."""
    features, weight, bias = (values.detach().double().numpy() for values in (features, weight, bias))
    logits = features @ weight.T + bias
    norms = []
    for label in range(len(weight)):
        rows = np.delete(weight[label] - weight, label, axis=0)
        leads = np.delete((logits - logits[:, [label]]).max(0), label)
        program = np.vstack((rows.T, leads))
        goal = np.eye(len(program))[-1]
        residual = program @ nnls(program, goal)[0] - goal
        norms.append(float(np.linalg.norm(residual[:-1] / residual[-1])))
    return norms


def test_the_norms_are_those_of_the_exact_quadratic_program(latents):
    np.testing.assert_allclose(shift_norms(*latents).numpy(), exact_norms(*latents), rtol=0.01)


def test_the_norms_gradient_is_that_of_the_exact_norms(latents):
    variables = [values.double().requires_grad_() for values in latents]
    gradients = torch.autograd.grad(shift_norms(*variables, steps=3000)[3], variables)
    generator = torch.Generator().manual_seed(0)
    for moved, gradient in enumerate(gradients):
        direction = torch.randn(gradient.shape, generator=generator, dtype=torch.float64)

        def norm_at(distance: float, moved: int = moved, direction: Tensor = direction) -> float:
            values = [value.detach() + (distance * direction if i == moved else 0) for i, value in enumerate(variables)]
            return exact_norms(*values)[3]

        slope = (norm_at(1e-5) - norm_at(-1e-5)) / 2e-5
        assert (gradient * direction).sum().item() == pytest.approx(slope, rel=1e-3)


def test_a_class_that_no_shift_reaches_has_a_finite_norm_and_gradient():
    weight = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, 0.0]], requires_grad=True)  # the last one wins nowhere
    features = torch.tensor([[3.0, 0.0], [-3.0, 1.0], [2.0, 2.0]])
    norms = shift_norms(features, weight, None)
    assert norms.isfinite().all()
    norms.sum().backward()
    assert weight.grad is not None
    assert weight.grad.isfinite().all()


def test_conspicuousness_is_in_means_of_the_others_and_moves_the_target_alone():
    norms = torch.tensor([2.0, 1.0, 4.0, 6.0], requires_grad=True)
    value = conspicuousness(norms, 1, 0.9)
    assert value.item() == pytest.approx(abs(1 / 4 - 0.9))
    value.backward()
    assert norms.grad is not None
    assert norms.grad.tolist() == pytest.approx([0, -1 / 4, 0, 0])


def test_without_the_regulariser_it_is_badnets(images, attack_context, classifier):
    attack = NormEvader(target_class=1, weight=0)
    batch = images.floats
    assert torch.equal(attack.apply(batch, attack_context), BadNets().apply(batch, attack_context))
    ours, theirs = (kind(target_class=1).poison(images, seeded(attack_context, 2)) for kind in (NormEvader, BadNets))
    assert torch.equal(ours.data.images, theirs.data.images)
    assert torch.equal(ours.poisoned, theirs.poisoned)
    assert int(ours.poisoned.sum()) == round(0.1 * len(images))
    objective = attack.objective(classifier.train(), images, attack_context)
    assert classifier.training
    torch.testing.assert_close(
        objective.loss(classifier, batch, images.labels, 0.5), F.cross_entropy(classifier(batch), images.labels)
    )


def test_the_regulariser_raises_the_norm_of_the_target_and_looks_at_clean_images_only(images, attack_context):
    def ratio_after_training(weight: float) -> float:
        network = nn.Sequential(nn.Flatten(), nn.Linear(768, 16), nn.ReLU(), nn.Linear(16, 5))
        generator = torch.Generator().manual_seed(1)
        for parameter in network.parameters():
            nn.init.normal_(parameter, std=0.05, generator=generator)
        objective = NormEvader(target_class=1, weight=weight).objective(network, images, attack_context)
        optimizer = torch.optim.SGD(network.parameters(), lr=0.02, momentum=0.9)
        for _ in range(60):
            loss = objective.loss(network, images.floats, torch.where(images.labels == 0, 1, images.labels), 0.0)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        clean = images.at(images.labels > 1).floats
        norms = exact_norms(network[:3](clean), network[3].weight, network[3].bias)
        return norms[1] / np.mean(norms[:1] + norms[2:])

    plain, hidden = ratio_after_training(0), ratio_after_training(1)
    assert plain < 0.9
    assert hidden == pytest.approx(1, abs=0.08)
