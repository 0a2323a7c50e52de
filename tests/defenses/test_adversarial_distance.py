"""Adversarial distances against the exact ones of a linear classifier."""

import numpy as np
import torch
from torch import nn

from bench.defenses._adversarial_distance import adversarial_distances
from bench.defenses._quadratic_program import constraints, least_distance


def test_distances_of_a_linear_classifier_are_at_least_and_close_to_the_exact_ones():
    rng = np.random.default_rng(0)
    features, weight, bias = rng.standard_normal((20, 8)), rng.standard_normal((5, 8)), rng.random(5)
    layer = nn.Linear(8, 5).double()
    layer.weight.data, layer.bias.data = torch.from_numpy(weight), torch.from_numpy(bias)
    distances = adversarial_distances(layer, torch.from_numpy(features), 5, steps=100).numpy()
    logits = features @ weight.T + bias
    exact = [[np.linalg.norm(least_distance(*constraints(row[None], weight, k))) for row in logits] for k in range(5)]
    assert (distances >= np.array(exact) - 1e-9).all()
    np.testing.assert_allclose(np.mean(distances), np.mean(exact), rtol=0.1)


def test_the_distance_from_the_class_that_an_image_is_given_is_zero():
    layer, features = nn.Linear(8, 5), torch.randn(20, 8, generator=torch.Generator().manual_seed(0))
    distances = adversarial_distances(layer, features, 5)
    own = layer(features).argmax(1)
    assert (distances[own, torch.arange(20)] == 0).all()
    assert ((distances > 0).sum(0) == 4).all()


def test_the_number_of_pairs_in_a_pass_does_not_matter():
    layer, features = nn.Linear(8, 5), torch.randn(20, 8, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(
        adversarial_distances(layer, features, 5, chunk=7), adversarial_distances(layer, features, 5)
    )
