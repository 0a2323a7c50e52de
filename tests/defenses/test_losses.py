"""Losses that several defenses use, against their definitions."""

import numpy as np
import pytest
import torch
from scipy import stats

from bench.defenses._losses import (
    jensen_shannon_of_histograms,
    jensen_shannon_of_logits,
    kullback_leibler_of_histograms,
    surprise_without,
)


def test_the_surprise_is_minus_the_logarithm_of_the_rest() -> None:
    logits, classes = torch.randn(6, 4, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 1, 2, 3, 0, 1])
    probability = logits.softmax(1)[torch.arange(6), classes]
    torch.testing.assert_close(surprise_without(logits, classes), -(1 - probability).log())


def test_the_surprise_is_finite_and_has_a_gradient_where_the_network_is_sure() -> None:
    logits = torch.tensor([[200.0, 0.0, 0.0]], requires_grad=True)
    surprise = surprise_without(logits, torch.tensor([0])).sum()
    (gradient,) = torch.autograd.grad(surprise, logits)
    torch.testing.assert_close(surprise.detach(), torch.tensor(200.0) - torch.tensor(2.0).log())
    torch.testing.assert_close(gradient, torch.tensor([[1.0, -0.5, -0.5]]))


def test_the_divergence_of_logits_is_jensens_and_shannons() -> None:
    first, second = torch.randn(2, 7, 4, generator=torch.Generator().manual_seed(0)) * 3
    p, q = first.softmax(1).numpy(), second.softmax(1).numpy()
    middle = (p + q) / 2
    expected = (stats.entropy(p, middle, axis=1) + stats.entropy(q, middle, axis=1)) / 2
    np.testing.assert_allclose(jensen_shannon_of_logits(first, second), expected, rtol=1e-4, atol=1e-6)
    assert float(jensen_shannon_of_logits(first, first).abs().max()) < 1e-6


def test_the_divergences_of_histograms_agree_with_scipy() -> None:
    p, q = np.array([0.5, 0.3, 0.2]), np.array([0.2, 0.4, 0.4])
    middle = (p + q) / 2
    first, second = torch.tensor(p)[None], torch.tensor(q)[None]
    shannon = (stats.entropy(p, middle) + stats.entropy(q, middle)) / 2
    assert jensen_shannon_of_histograms(first, second).item() == pytest.approx(shannon, abs=1e-4)
    assert kullback_leibler_of_histograms(first, second).item() == pytest.approx(stats.entropy(p, q), abs=1e-4)


def test_an_empty_bin_leaves_the_divergence_of_histograms_finite() -> None:
    first, second = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]])
    assert kullback_leibler_of_histograms(first, second).item() == pytest.approx(np.log(1e6), rel=1e-3)
    assert jensen_shannon_of_histograms(first, second).item() == pytest.approx(np.log(2), rel=1e-3)
