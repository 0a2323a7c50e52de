"""ACC, ASR, RA, DER and detection: pure functions of predictions, labels and targets."""

import math

import torch
from torch import Tensor


def share(mask: Tensor) -> float:
    """The share of True in ``mask`` (N,) bool, in [0, 1]; NaN if it is empty."""
    return mask.double().mean().item() if len(mask) else math.nan


def accuracy(predicted: Tensor, labels: Tensor) -> float:
    """ACC: share of clean images (N,) that are classified as their label; NaN without any."""
    return share(predicted == labels)


def attack_success(predicted: Tensor, labels: Tensor, targets: Tensor) -> float:
    """ASR: share of the eligible triggered images that are classified as their target; NaN without any.

    predicted, labels, targets: (N,). An image is eligible unless its label is its target already.
    """
    eligible = targets != labels
    return share(predicted[eligible] == targets[eligible])


def robust_accuracy(predicted: Tensor, labels: Tensor, targets: Tensor) -> float:
    """RA: share of the eligible triggered images that are classified as their label; NaN without any.

    predicted, labels, targets: (N,), as for ASR.
    """
    eligible = targets != labels
    return share(predicted[eligible] == labels[eligible])


def target_accuracy(predicted: Tensor, labels: Tensor, target_classes: Tensor) -> float:
    """ACC on the clean images (N,) of the target classes (K,), where most defenses lose the most; NaN without any."""
    members = torch.isin(labels, target_classes)
    return share(predicted[members] == labels[members])


def true_positive_rate(flagged: Tensor) -> float:
    """TPR: share of triggered images that are flagged. ``flagged`` (N,) bool: of the eligible triggered images."""
    return share(flagged)


def false_positive_rate(flagged: Tensor) -> float:
    """FPR: share of clean images that are flagged. ``flagged`` (N,) bool: of the clean images."""
    return share(flagged)


def defense_effectiveness(acc_before: float, asr_before: float, acc_after: float, asr_after: float) -> float:
    """DER = [max(0, drop of ASR) - max(0, drop of ACC) + 1] / 2, in [0, 1]; 0.5 means no change.

    All four values are in [0, 1]. NaN if an ASR is. Zhu et al., FT-SAM, ICCV 2023, eq. 7.
    """
    if math.isnan(asr_before) or math.isnan(asr_after):
        return math.nan
    return (max(0.0, asr_before - asr_after) - max(0.0, acc_before - acc_after) + 1) / 2


def auroc(clean: Tensor, triggered: Tensor) -> float:
    """Area under the ROC curve of suspicion scores on clean (N,) and triggered (M,) images, in [0, 1]; NaN without
    either."""
    from sklearn.metrics import roc_auc_score

    if not len(clean) or not len(triggered):
        return math.nan
    is_triggered = torch.cat([torch.zeros(len(clean)), torch.ones(len(triggered))])
    return float(roc_auc_score(is_triggered.numpy(), torch.cat([clean, triggered]).double().numpy()))
