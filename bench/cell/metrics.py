"""ACC, ASR, RA, DER and detection: pure functions of predictions, labels and targets."""

import math

import torch
from torch import Tensor


def share(mask: Tensor) -> float:
    """The share of True in ``mask`` (N,) bool; NaN if it is empty."""
    return mask.double().mean().item() if len(mask) else math.nan


def accuracy(predicted: Tensor, labels: Tensor) -> float:
    """ACC: share of clean images (N,) that are classified as their label."""
    return share(predicted == labels)


def attack_success(predicted: Tensor, labels: Tensor, targets: Tensor) -> float:
    """ASR: share of triggered images (N,) classified as the attack's target, those of the target class left out."""
    eligible = targets != labels
    return share(predicted[eligible] == targets[eligible])


def robust_accuracy(predicted: Tensor, labels: Tensor, targets: Tensor) -> float:
    """RA: share of triggered images (N,) classified as their original class, over the same images as ASR."""
    eligible = targets != labels
    return share(predicted[eligible] == labels[eligible])


def target_accuracy(predicted: Tensor, labels: Tensor, target_classes: Tensor) -> float:
    """ACC on the clean images (N,) of the target classes (K,): where a defense mostly pays for what it does."""
    members = torch.isin(labels, target_classes)
    return share(predicted[members] == labels[members])


def true_positive_rate(flagged: Tensor) -> float:
    """TPR: share of the triggered images that are flagged, from the verdicts (N,) on them."""
    return share(flagged)


def false_positive_rate(flagged: Tensor) -> float:
    """FPR: share of the clean images that are flagged, from the verdicts (N,) on them."""
    return share(flagged)


def defense_effectiveness(acc_before: float, asr_before: float, acc_after: float, asr_after: float) -> float:
    """DER = [max(0, drop of ASR) - max(0, drop of ACC) + 1] / 2, in [0, 1]; 0.5 is no change.

    Zhu et al., FT-SAM, ICCV 2023, eq. 7.
    """
    if math.isnan(asr_before) or math.isnan(asr_after):
        return math.nan
    return (max(0.0, asr_before - asr_after) - max(0.0, acc_before - acc_after) + 1) / 2


def auroc(clean: Tensor, triggered: Tensor) -> float:
    """Area under the ROC curve of a suspicion score on clean (N,) and triggered (M,) images; NaN without either."""
    from sklearn.metrics import roc_auc_score

    if not len(clean) or not len(triggered):
        return math.nan
    truth = torch.cat([torch.zeros(len(clean)), torch.ones(len(triggered))])
    return float(roc_auc_score(truth.numpy(), torch.cat([clean, triggered]).double().numpy()))
