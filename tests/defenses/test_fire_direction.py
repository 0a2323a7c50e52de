"""FIRE's direction, its filter, and how a repair is judged, against independent references."""

import numpy as np
import pytest
import torch
from sklearn.covariance import ledoit_wolf

from bench.defenses._fire_direction import (
    RunningMean,
    class_means,
    folds,
    gain,
    loss,
    matched_filter,
    projected,
    target_classes,
)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize(("count", "size"), [(30, 80), (300, 20)])
def test_the_filter_is_the_direction_times_the_inverse_of_ledoit_and_wolfs_covariance(count: int, size: int) -> None:
    draws = torch.Generator().manual_seed(0)
    noise = torch.randn(count, size, generator=draws, dtype=torch.float64) * torch.linspace(0.2, 2, size)
    direction, clean = (torch.randn(size, generator=draws, dtype=torch.float64) for _ in range(2))
    presence = matched_filter(direction, clean[None], (clean + 2 * direction)[None], noise)
    axis = np.linalg.solve(ledoit_wolf(np.asarray(noise.tolist()), assume_centered=True)[0], direction.tolist())
    axis /= axis @ np.asarray(direction.tolist()) * 2
    np.testing.assert_allclose(presence.axis.tolist(), axis, rtol=1e-6)
    torch.testing.assert_close(presence(torch.stack((clean, clean + 2 * direction))), torch.tensor([0.0, 1.0]).double())


def test_a_running_mean_is_the_mean() -> None:
    samples = torch.randn(12, 5, generator=generator())
    running = RunningMean(samples[:4].mean(0), 4)
    for sample in samples[4:]:
        running.add(sample)
    torch.testing.assert_close(running.value, samples.mean(0))


def test_class_means_are_those_of_the_classes_and_that_of_all_images_where_a_class_has_none() -> None:
    clean, labels = torch.randn(60, 5, generator=generator()), torch.arange(60) % 3
    means = class_means(clean, labels, 4)
    torch.testing.assert_close(means[1], clean[labels == 1].mean(0))
    torch.testing.assert_close(means[3], clean.mean(0))


def test_a_projection_removes_alpha_times_the_component_and_nothing_else() -> None:
    x, direction, centre = (torch.randn(4, 5, generator=generator(seed)) for seed in range(3))
    unit = direction[0] / direction[0].norm()
    change = x - projected(x, direction[0], 0.7, centre[0])
    torch.testing.assert_close(change, 0.7 * ((x - centre[0]) * unit).sum(1, keepdim=True) * unit)


def test_the_target_is_the_class_of_most_suspects() -> None:
    targets, trusted = target_classes(torch.eye(3)[[2, 2, 2, 0]])
    assert targets.tolist() == [False, False, True]
    assert trusted.tolist() == [True, True, True, False]
    targets, trusted = target_classes(torch.eye(3)[[2, 2, 1, 0]])
    assert targets.all()
    assert trusted.all()


def test_folds_spread_every_class_evenly() -> None:
    labels = torch.arange(40) % 5
    fold = folds(labels, 4, generator())
    for label in range(5):
        assert torch.bincount(fold[labels == label], minlength=4).tolist() == [2, 2, 2, 2]


def test_gain_with_pairs_is_what_the_wanted_class_gains() -> None:
    before, after = torch.tensor([[0.7, 0.2, 0.1]] * 2).log(), torch.tensor([[0.2, 0.5, 0.3], [0.1, 0.1, 0.8]]).log()
    assert gain(before, after, torch.tensor([2, 1])) == pytest.approx((0.3 + 0.1) / 2 - (0.1 + 0.2) / 2)


def test_gain_without_pairs_is_high_for_certain_answers_of_different_classes() -> None:
    sure = 50 * torch.eye(4)
    before, apart, together = sure[[0, 0, 0]], sure[[1, 2, 3]], sure[[1, 1, 1]]
    assert gain(before, before, None) == pytest.approx(0)
    assert gain(before, together, None) == pytest.approx(1 / 2, abs=1e-4)
    assert gain(before, apart, None) == pytest.approx((1 + np.log(3) / np.log(4)) / 2, abs=1e-4)
    assert gain(before, torch.zeros(3, 4), None) == pytest.approx(1 / 8, abs=1e-4)


def test_loss_is_the_larger_of_those_over_all_images_and_over_the_target() -> None:
    before, after = torch.tensor([[0.7, 0.2, 0.1]] * 2).log(), torch.tensor([[0.2, 0.5, 0.3], [0.1, 0.1, 0.8]]).log()
    of_zero, of_one, of_two = torch.eye(3, dtype=torch.bool)
    assert loss(before, after, torch.tensor([0, 2]), of_zero) == pytest.approx(0.5)
    assert loss(before, after, torch.tensor([0, 1]), of_one) == pytest.approx((0.5 + 0.1) / 2)
    assert loss(before, after, torch.tensor([0, 1]), of_two) == pytest.approx((0.5 + 0.1) / 2)
