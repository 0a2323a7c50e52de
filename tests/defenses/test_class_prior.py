"""Whether a class is given too seldom: found where its prior was halved, and not by chance or nature."""

import numpy as np
import pytest
import scipy.special

from bench.defenses._class_prior import NATURAL, seldom_given, shortfalls

CLASSES, TARGET = 10, 4


def drawn(seed: int, count: int = 4000, shift: float = 0.0, classes: int = CLASSES):
    """Logits (N, C) and labels (N,) that the probabilities were right for, before the target's logit was shifted."""
    draw = np.random.default_rng(seed)
    logits = 3 * draw.standard_normal((count, classes))
    probabilities = scipy.special.softmax(logits, axis=1)
    labels = (probabilities.cumsum(1) > draw.random((count, 1))).argmax(1)
    logits[:, TARGET % classes] += shift
    return logits, labels


def test_the_shortfall_is_what_the_formula_says_and_none_of_a_class_without_images():
    logits, labels = drawn(0, 300, shift=-1)
    logits = np.hstack([logits, np.full((300, 1), -9.0)])
    values, counts = shortfalls(logits, labels)
    assert counts.tolist() == [*np.bincount(labels).tolist(), 0]
    p = scipy.special.softmax(logits, axis=1)[:, TARGET]
    expected = (counts[TARGET] - p.sum()) / np.sqrt(counts[TARGET] * (p * (1 - p)).sum())
    assert values[TARGET] == pytest.approx(expected, rel=0.02)  # the temperature may be a little above 1
    assert np.isnan(values[-1])
    assert np.isfinite(values[:-1]).all()


def test_a_shift_of_the_prior_makes_the_shortfall_that_the_docstring_says():
    for shift in (-0.1, 0.1):
        logits, labels = drawn(1, 60_000, shift)
        values, counts = shortfalls(logits, labels)
        p = scipy.special.softmax(logits, axis=1)[:, TARGET]
        expected = -shift * np.sqrt((p * (1 - p)).sum() / counts[TARGET])
        assert values[TARGET] == pytest.approx(expected, abs=4 / np.sqrt(counts[TARGET]) + 0.1 * abs(expected))
        assert np.sign(values[TARGET]) == -np.sign(shift)


def test_a_halved_prior_is_found_and_names_the_class_alone():
    for seed in range(10):
        z, p_values = seldom_given(*drawn(seed, shift=-2 * np.log(2)))
        assert p_values.argmin() == TARGET == z.argmin()
        assert p_values[TARGET] < 0.01 < np.delete(p_values, TARGET).min()


def test_a_class_that_is_given_too_often_is_no_suspect():
    for seed in range(10):
        assert seldom_given(*drawn(seed, shift=2 * np.log(2)))[1].min() > 0.1


def alarms(spread: float, count: int, draws: int = 120) -> int:
    """How often a class is flagged at .05 where the classes' shortfalls differ by nature with this deviation."""
    total = 0
    for seed in range(draws):
        logits, labels = drawn(seed, count)
        doubt = scipy.special.softmax(logits, axis=1)
        doubt = np.sqrt((doubt * (1 - doubt)).sum(0) / np.maximum(1, np.bincount(labels, minlength=CLASSES)))
        bias = spread * np.random.default_rng(1000 + seed).standard_normal(CLASSES) / doubt
        total += int(seldom_given(logits + bias, labels)[1].min() <= 0.05)
    return total


@pytest.mark.parametrize(("spread", "count"), [(0, 60), (0, 1000), (NATURAL, 1000), (0.2, 1000), (0.4, 1000)])
def test_neither_chance_nor_nature_raises_more_alarms_than_the_level(spread, count):
    draws = 120
    assert alarms(spread, count, draws) <= 0.05 * draws + 2.5 * np.sqrt(0.05 * 0.95 * draws)


@pytest.mark.parametrize("factor", [3, 30, 3000], ids="{}x".format)
def test_a_network_that_is_too_sure_raises_none_and_is_found_out_as_well(factor):
    logits, labels = drawn(3)
    assert seldom_given(factor * logits, labels)[1].min() > 0.1
    logits, labels = drawn(3, shift=-2 * np.log(2))
    assert seldom_given(factor * logits, labels)[1].argmin() == TARGET


def test_nor_does_one_mistake_among_many_sure_answers():
    labels = np.arange(180) % CLASSES
    logits = 8.0 * np.eye(CLASSES)[labels] + np.random.default_rng(0).standard_normal((180, CLASSES))
    logits[TARGET] = 8.0 * np.eye(CLASSES)[TARGET + 1]
    assert seldom_given(logits, labels)[1].min() > 0.1


def test_of_two_classes_or_no_images_nothing_is_said():
    z, p_values = seldom_given(*drawn(0, shift=-2, classes=2))
    assert p_values.tolist() == [1, 1]
    assert np.isnan(z).all()
    assert seldom_given(np.zeros((0, 5)), np.zeros(0, dtype=np.int64))[1].tolist() == [1] * 5
