"""BNP: the statistics on clean images, and the divergence, against direct computations."""

import numpy as np
import pytest
import torch
from planted import FOUR_CLASSES, normalised_victim
from scipy import stats

from bench.defenses._channels import scaled_layers
from bench.defenses.bnp import input_statistics, normal_divergence


def test_the_divergence_is_that_of_normal_distributions() -> None:
    points = np.linspace(-40, 40, 200001)
    p, q = stats.norm(0.3, np.sqrt(1.4)), stats.norm(-1, np.sqrt(2.1))
    wanted = np.trapezoid(p.pdf(points) * (p.logpdf(points) - q.logpdf(points)), points)
    mean, variance, mean_2, variance_2 = torch.tensor([[0.3], [1.3], [-1.0], [2.0]]).unbind()
    ours = normal_divergence(mean, variance, mean_2, variance_2, 0.1)
    assert ours.item() == pytest.approx(wanted, rel=1e-4)


def test_statistics_are_those_of_what_enters_a_layer() -> None:
    model, images = normalised_victim(), FOUR_CLASSES.draw(300, seed=5).floats  # two batches
    statistics = input_statistics(model, scaled_layers(model), images)
    mean, variance = statistics["body.1"]
    entering = model.body[0](images)[:, :, 0, 0]
    torch.testing.assert_close(mean, entering.mean(0))
    torch.testing.assert_close(variance, entering.var(0, correction=0), rtol=1e-3, atol=1e-6)
