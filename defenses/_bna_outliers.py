"""BNA: which of the smallest triggers' norms are too small to be natural. Norms are (T,) float64, three or more."""

import torch
from torch import Tensor

from bench.defenses._outliers import anomaly_index, distances_below_inliers, small_outliers


def by_deviation(norms: Tensor, threshold: float) -> tuple[Tensor, Tensor]:
    """The paper's rule: how many MADs each 1/norm lies from the median, and which exceed it by ``threshold`` (T,)."""
    inverse = 1 / norms
    sign = torch.where(inverse < inverse.median(), -1, 1)
    score = sign * anomaly_index(inverse, unit=1, median="lower")
    return score, score > threshold


def by_rosner(norms: Tensor, significance: float, ratio: float) -> tuple[Tensor, Tensor]:
    """Rosner's test on the logarithms: their distances below the inliers, and which are outliers (T,) that are also
    ``ratio`` times below the median."""
    logs = norms.log()
    outlying = torch.zeros(len(norms), dtype=torch.bool)
    outlying[small_outliers(logs.numpy(), significance, at_most=(len(norms) - 1) // 2)[0]] = True
    return distances_below_inliers(logs, outlying), outlying & (norms * ratio <= norms.median())
