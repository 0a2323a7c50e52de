"""Whether a class is given too seldom: found where its prior was halved, and not by chance or nature."""

import numpy as np
import pytest
import scipy.special
from planted import suited_logits

from bench.defenses._class_prior import NATURAL, lowered_priors

CLASSES, TARGET = 10, 4


def drawn(seed: int, count: int = 2000, shift: float = 0.0, classes: int = CLASSES):
    """Logits (N, C) and labels (N,) that the probabilities were right for, before the target's logit was shifted."""
    logits, labels = suited_logits(seed, count, classes)
    logits[:, TARGET % classes] += shift
    return logits, labels


def test_by_how_much_a_prior_was_lowered_is_estimated_in_logits_and_without_bias():
    for shift in (0.2, np.log(2)):
        found = np.array([lowered_priors(*drawn(seed, 2000, -shift)).lowered for seed in range(10)])
        others = np.delete(found, TARGET, axis=1)
        assert found[:, TARGET].mean() == pytest.approx(shift, abs=0.05)
        # what the target loses is not taken for what the others gain: each is judged beside all others
        assert others.mean() == pytest.approx(-shift / (CLASSES - 1), abs=0.04)


def test_the_estimate_is_the_one_of_generalised_least_squares_and_z_its_standard_score():
    logits, labels = drawn(0, 800, -0.1)
    probabilities = scipy.special.softmax(logits, axis=1)
    score = (np.eye(CLASSES)[labels] - probabilities).sum(0)  # with so small a shift one step leads to the best biases
    information = sum(np.diag(p) - np.outer(p, p) for p in probabilities)
    covariance = information + NATURAL**2 * information @ information  # of the score; all classes alike: none
    free = np.linalg.qr(np.eye(CLASSES) - 1 / CLASSES)[0][:, :-1]
    weights = free @ np.linalg.solve(free.T @ covariance @ free, free.T @ information[TARGET])
    found = lowered_priors(logits, labels)
    assert found.lowered[TARGET] == pytest.approx(weights @ score / (weights @ information[TARGET]), rel=0.05)
    assert found.z[TARGET] == pytest.approx(-weights @ score / np.sqrt(weights @ information[TARGET]), rel=0.05)


def test_a_halved_prior_is_found_and_names_the_class_alone():
    for seed in range(5):
        found = lowered_priors(*drawn(seed, 4000, -np.log(2)))
        assert found.p_values.argmin() == TARGET == found.z.argmin() == found.lowered.argmax()
        assert found.p_values[TARGET] < 0.01 < np.delete(found.p_values, TARGET).min()


def test_a_class_that_is_given_too_often_is_no_suspect():
    for seed in range(5):
        assert lowered_priors(*drawn(seed, shift=2 * np.log(2))).p_values.min() > 0.1


def alarms(spread: float, count: int, draws: int) -> int:
    """How often a class is flagged at .05 where the classes' priors differ by nature with this deviation."""
    total = 0
    for seed in range(draws):
        logits, labels = drawn(seed, count)
        bias = spread * np.random.default_rng(1000 + seed).standard_normal(CLASSES)
        total += int(lowered_priors(logits + bias, labels).p_values.min() <= 0.05)
    return total


@pytest.mark.parametrize(("spread", "count"), [(0, 60), (NATURAL, 600), (0.3, 600), (1, 600)])
def test_neither_chance_nor_nature_raises_more_alarms_than_the_level(spread, count):
    draws = 80
    assert alarms(spread, count, draws) <= 0.05 * draws + 2.5 * np.sqrt(0.05 * 0.95 * draws)


@pytest.mark.parametrize("factor", [3, 30, 3000], ids="{}x".format)
def test_a_network_that_is_too_sure_raises_none_and_is_found_out_as_well(factor):
    logits, labels = drawn(3)
    assert lowered_priors(factor * logits, labels).p_values.min() > 0.1
    logits, labels = drawn(3, shift=-2 * np.log(2))
    assert lowered_priors(factor * logits, labels).p_values.argmin() == TARGET


def test_nor_does_one_mistake_among_many_sure_answers():
    labels = np.arange(180) % CLASSES
    logits = 8.0 * np.eye(CLASSES)[labels] + np.random.default_rng(0).standard_normal((180, CLASSES))
    logits[TARGET] = 8.0 * np.eye(CLASSES)[TARGET + 1]
    assert lowered_priors(logits, labels).p_values.min() > 0.1


def test_of_two_classes_or_no_images_nothing_is_said():
    found = lowered_priors(*drawn(0, shift=-2, classes=2))
    assert found.p_values.tolist() == [1, 1]
    assert np.isnan(found.z).all()
    assert np.isnan(found.lowered).all()
    assert lowered_priors(np.zeros((0, 5)), np.zeros(0, dtype=np.int64)).p_values.tolist() == [1] * 5


def test_a_class_without_images_takes_no_part():
    logits, labels = drawn(0, shift=-np.log(2))
    more = np.insert(logits, 2, 1.0, axis=1)
    found, expected = lowered_priors(more, labels + (labels >= 2)), lowered_priors(logits, labels)
    assert np.isnan(found.z[2])
    assert found.p_values[2] == 1
    assert np.delete(found.z, 2) == pytest.approx(expected.z)


def test_of_a_class_that_is_in_doubt_with_no_other_nothing_is_said():
    logits, labels = drawn(0, shift=2.0)
    alone = np.where(labels == 2, 60.0, -60.0)
    logits[:, 2] = alone
    found = lowered_priors(logits, labels)
    assert np.isnan(found.lowered[2])
    assert np.isnan(found.z[2])
    assert found.p_values[2] == 1
    assert np.isfinite(np.delete(found.z, 2)).all()
