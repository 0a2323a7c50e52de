"""Metrics against scikit-learn and cases worked out by hand."""

import math

import pytest
import torch
from sklearn.metrics import accuracy_score, roc_auc_score

from bench.cell import metrics

LABELS = torch.tensor([0, 1, 2, 0, 1, 2, 0, 1])
TARGETS = torch.zeros(8, dtype=torch.int64)


def test_accuracy_is_that_of_scikit_learn():
    generator = torch.Generator().manual_seed(0)
    predicted, labels = torch.randint(0, 4, (2, 100), generator=generator)
    assert metrics.accuracy(predicted, labels) == pytest.approx(accuracy_score(labels, predicted))


def test_asr_and_ra_leave_out_images_of_the_target_class():
    predicted = torch.tensor([0, 0, 2, 1, 0, 0, 0, 2])
    # images 1, 2, 4, 5, 7 are of the classes 1 and 2; of these 1, 4, 5 are predicted as the target, 2 as its own class
    assert metrics.attack_success(predicted, LABELS, TARGETS) == pytest.approx(3 / 5)
    assert metrics.robust_accuracy(predicted, LABELS, TARGETS) == pytest.approx(1 / 5)


def test_asr_and_ra_of_all_to_all_count_every_image():
    targets = (LABELS + 1) % 3
    predicted = torch.tensor([1, 2, 2, 0, 2, 0, 2, 1])
    assert metrics.attack_success(predicted, LABELS, targets) == pytest.approx(4 / 8)
    assert metrics.robust_accuracy(predicted, LABELS, targets) == pytest.approx(3 / 8)


def test_without_an_attack_there_is_no_asr():
    assert math.isnan(metrics.attack_success(LABELS, LABELS, LABELS))


def test_target_accuracy_looks_at_the_target_classes_alone():
    predicted = torch.tensor([0, 1, 0, 1, 0, 2, 0, 1])
    assert metrics.target_accuracy(predicted, LABELS, torch.tensor([0])) == pytest.approx(2 / 3)
    assert metrics.target_accuracy(predicted, LABELS, torch.tensor([0, 1])) == pytest.approx(4 / 6)


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ((0.9, 1.0), (0.9, 1.0), 0.5),  # nothing happened
        ((0.9, 1.0), (0.9, 0.0), 1.0),  # the backdoor is gone at no cost
        ((0.9, 1.0), (0.8, 0.2), 0.85),  # (0.8 - 0.1 + 1) / 2
        ((0.9, 0.5), (0.95, 0.9), 0.5),  # a rise of ASR or ACC does not count
        ((1.0, 0.0), (0.0, 0.0), 0.0),  # all accuracy lost, no backdoor removed
    ],
)
def test_der_by_hand(before, after, expected):
    assert metrics.defense_effectiveness(*before, *after) == pytest.approx(expected)


def test_der_without_an_attack_is_nan():
    assert math.isnan(metrics.defense_effectiveness(0.9, math.nan, 0.9, math.nan))


def test_auroc_is_that_of_scikit_learn():
    generator = torch.Generator().manual_seed(0)
    clean, triggered = torch.randn(50, generator=generator), torch.randn(30, generator=generator) + 1
    truth = [0] * 50 + [1] * 30
    assert metrics.auroc(clean, triggered) == pytest.approx(roc_auc_score(truth, torch.cat([clean, triggered])))
    assert math.isnan(metrics.auroc(clean, triggered[:0]))
