"""Metrics against scikit-learn and cases worked out by hand."""

import math

import pytest
import torch
from sklearn.dummy import DummyClassifier
from sklearn.metrics import accuracy_score, average_precision_score, recall_score, roc_auc_score

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


def test_average_precision_is_that_of_scikit_learn():
    generator = torch.Generator().manual_seed(0)
    clean, triggered = torch.randn(50, generator=generator), torch.randn(30, generator=generator) + 1
    expected = average_precision_score([0] * 50 + [1] * 30, torch.cat([clean, triggered]))
    assert metrics.average_precision(clean, triggered) == pytest.approx(expected)
    assert math.isnan(metrics.average_precision(clean[:0], triggered))


def test_tpr_at_a_bound_on_fpr_is_the_best_of_all_thresholds_that_keep_it():
    generator = torch.Generator().manual_seed(0)
    clean, triggered = torch.randn(200, generator=generator).round(decimals=1), torch.randn(90, generator=generator) + 2
    triggered = triggered.round(decimals=1)  # so that scores are tied
    for bound in (0.0, 0.01, 0.1, 1.0):
        rates = [
            ((clean >= cut).double().mean().item(), (triggered >= cut).double().mean().item())
            for cut in [*torch.cat([clean, triggered]).tolist(), math.inf]
        ]
        expected = max(tpr for fpr, tpr in rates if fpr <= bound)
        assert metrics.true_positive_rate_at(clean, triggered, bound) == pytest.approx(expected)
    assert math.isnan(metrics.true_positive_rate_at(clean, triggered[:0], 0.01))


def test_the_accuracy_on_each_class_is_its_recall():
    generator = torch.Generator().manual_seed(0)
    predicted, labels = torch.randint(0, 4, (2, 100), generator=generator)
    expected = recall_score(labels, predicted, average=None)
    assert metrics.class_accuracies(predicted, labels, 5)[:4] == pytest.approx(list(expected))
    assert math.isnan(metrics.class_accuracies(predicted, labels, 5)[4])


def test_the_base_rate_counts_images_of_other_classes_that_are_taken_for_their_target():
    predicted = torch.tensor([0, 0, 2, 1, 0, 0, 0, 2])
    assert metrics.base_rate(predicted, LABELS, TARGETS) == pytest.approx(3 / 5)  # images 1, 4 and 5
    assert metrics.base_rate(predicted, LABELS, (LABELS + 1) % 3) == pytest.approx(3 / 8)  # images 3, 5 and 7
    assert math.isnan(metrics.base_rate(predicted, LABELS, LABELS))


def test_the_majority_is_what_the_most_frequent_answer_gets_right():
    dummy = DummyClassifier(strategy="most_frequent").fit(LABELS[:, None], LABELS)
    assert metrics.majority(LABELS) == dummy.score(LABELS[:, None], LABELS)
    assert math.isnan(metrics.majority(LABELS[:0]))


def test_rates_among_assigned_inputs_leave_out_what_the_network_assigns_elsewhere():
    predicted = torch.tensor([0, 0, 2, 1, 0, 0, 0, 2])
    flagged = torch.tensor([1, 1, 1, 1, 0, 0, 1, 1]).bool()
    of_triggered = metrics.assigned_true_positive_rate(flagged, predicted, LABELS, TARGETS)
    assert of_triggered == pytest.approx(1 / 3)  # of 1, 4, 5: those of other classes that are assigned to 0
    of_clean = metrics.assigned_false_positive_rate(flagged, predicted, torch.tensor([0]))
    assert of_clean == pytest.approx(3 / 5)  # of 0, 1, 4, 5, 6, whatever their class
    of_two = metrics.assigned_false_positive_rate(flagged, predicted, torch.tensor([0, 2]))
    assert of_two == pytest.approx(5 / 7)
    all_classes = torch.arange(3)
    assert metrics.assigned_false_positive_rate(flagged, predicted, all_classes) == metrics.false_positive_rate(flagged)
    assert math.isnan(metrics.assigned_false_positive_rate(flagged, predicted, all_classes[:0]))


@pytest.mark.parametrize(
    ("flagged", "targets", "expected"),
    [
        ([], [3], "none"),
        ([3], [3], "right"),
        ([4], [3], "wrong"),
        ([3, 4], [3], "wrong"),
        ([3], [3, 5], "right"),  # one of several is found
        ([3, 5], [3, 5], "right"),
        ([], [], "none"),  # a benign network
        ([3], [], "wrong"),  # a false alarm
        ([3], range(10), ""),  # all-to-all: nothing could be wrong
        ([], range(10), ""),
    ],
)
def test_identification_by_hand(flagged, targets, expected):
    assert metrics.identification(flagged, targets, 10) == expected
