"""ACC, ASR, RA, DER, detection and identification: pure functions of predictions, labels and targets."""

import math
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from bench.records.columns import Identified

if TYPE_CHECKING:
    from numpy.typing import NDArray


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


def class_accuracies(predicted: Tensor, labels: Tensor, classes: int) -> list[float]:
    """ACC on the clean images (N,) of each of ``classes`` classes; NaN for a class without any."""
    return [share(predicted[labels == label] == label) for label in range(classes)]


def base_rate(predicted: Tensor, labels: Tensor, targets: Tensor) -> float:
    """The share of the eligible images that are classified as their target without the trigger; NaN without any.

    predicted: what the undefended network says of the clean images (N,). labels, targets: (N,), as for ASR, which a
    trigger that does nothing would leave at this rate.
    """
    return attack_success(predicted, labels, targets)


def majority(labels: Tensor) -> float:
    """The share of the largest class in ``labels`` (N,): ACC of who always answers this class; NaN without any."""
    return labels.unique(return_counts=True)[1].max().item() / len(labels) if len(labels) else math.nan


def true_positive_rate(flagged: Tensor) -> float:
    """TPR: share of triggered images that are flagged. ``flagged`` (N,) bool: of the eligible triggered images."""
    return share(flagged)


def false_positive_rate(flagged: Tensor) -> float:
    """FPR: share of clean images that are flagged. ``flagged`` (N,) bool: of the clean images."""
    return share(flagged)


def assigned_true_positive_rate(flagged: Tensor, predicted: Tensor, labels: Tensor, targets: Tensor) -> float:
    """TPR among the eligible triggered images that the undefended network assigns to their own target; NaN without any.

    flagged (N,) bool; predicted (N,): by the undefended network; labels, targets: (N,), as for ASR. Li et al., BNA,
    arXiv 2308.09850: only an input that is assigned to a target may have to be flagged.
    """
    return share(flagged[(targets != labels) & (predicted == targets)])


def assigned_false_positive_rate(flagged: Tensor, predicted: Tensor, target_classes: Tensor) -> float:
    """FPR among the clean images that the undefended network assigns to any of the target classes; NaN without any.

    flagged (N,) bool; predicted (N,): by the undefended network; target_classes (K,). A clean image has no target of
    its own, so with several targets all of them count. In an all-to-all attack every class is a target, and this is
    FPR. Source: as for TPR.
    """
    return share(flagged[torch.isin(predicted, target_classes)])


def identification(flagged: Collection[int], targets: Collection[int], classes: int) -> Identified:
    """Whether the classes that a defense took for targets are true ones.

    "none": it flags no class, which is as it should be if the network was not attacked. "right": it flags one true
    target or more, and nothing else; of several targets it need not find all. "wrong": it flags a class that is no
    target, such as any class of a benign network. "": all ``classes`` are targets, as in an all-to-all attack: a guess
    would be right too.
    """
    if targets and set(range(classes)) <= set(targets):
        return ""
    if not flagged:
        return "none"
    return "right" if set(flagged) <= set(targets) else "wrong"


def defense_effectiveness(acc_before: float, asr_before: float, acc_after: float, asr_after: float) -> float:
    """DER = [max(0, drop of ASR) - max(0, drop of ACC) + 1] / 2, in [0, 1]; 0.5 means no change.

    All four values are in [0, 1]. NaN if an ASR is. Zhu et al., FT-SAM, ICCV 2023, eq. 7.
    """
    if math.isnan(asr_before) or math.isnan(asr_after):
        return math.nan
    return (max(0.0, asr_before - asr_after) - max(0.0, acc_before - acc_after) + 1) / 2


def true_positive_rate_at(clean: Tensor, triggered: Tensor, false_positives: float) -> float:
    """The highest TPR of suspicion scores, over all thresholds whose FPR is at most ``false_positives``, in [0, 1].

    clean (N,), triggered (M,): scores, higher is more suspicious. An input is flagged if its score is the threshold or
    more. NaN without either.
    """
    from sklearn.metrics import roc_curve

    if not len(clean) or not len(triggered):
        return math.nan
    fpr, tpr, _ = roc_curve(*_scored(clean, triggered), drop_intermediate=False)
    return float(tpr[fpr <= false_positives].max())


def average_precision(clean: Tensor, triggered: Tensor) -> float:
    """The mean precision of suspicion scores over the thresholds, weighted by what each adds to recall, in [0, 1].

    clean (N,), triggered (M,): scores, higher is more suspicious. Without any skill it is M / (N + M). NaN without
    either.
    """
    from sklearn.metrics import average_precision_score

    if not len(clean) or not len(triggered):
        return math.nan
    return float(average_precision_score(*_scored(clean, triggered)))


def auroc(clean: Tensor, triggered: Tensor) -> float:
    """Area under the ROC curve of suspicion scores on clean (N,) and triggered (M,) images, in [0, 1]; NaN without
    either."""
    from sklearn.metrics import roc_auc_score

    if not len(clean) or not len(triggered):
        return math.nan
    return float(roc_auc_score(*_scored(clean, triggered)))


def _scored(clean: Tensor, triggered: Tensor) -> "tuple[NDArray[Any], NDArray[Any]]":
    """Whether each image is triggered, and its score, as scikit-learn takes them."""
    is_triggered = torch.cat([torch.zeros(len(clean)), torch.ones(len(triggered))])
    return is_triggered.numpy(), torch.cat([clean, triggered]).double().numpy()
