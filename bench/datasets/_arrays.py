"""Labelled images from arrays, and a fixed stratified split of them."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from bench.plugin import LabelledImages, Splits, stratified_order


def labelled(pixels: NDArray[Any], labels: Any) -> LabelledImages:
    """Labelled images on the CPU from pixels (N, C, H, W) in 0..255 and labels (N,)."""
    return LabelledImages(
        torch.from_numpy(np.ascontiguousarray(pixels, dtype=np.uint8)),
        torch.from_numpy(np.asarray(labels, dtype=np.int64)),
    )


def stratified_split(pixels: NDArray[Any], labels: NDArray[Any], test_share: float) -> Splits:
    """Split pixels (N, C, H, W) and labels (N,): the last ``test_share`` of a fixed stratified order is for testing."""
    data = labelled(pixels, labels)
    order = stratified_order(data.labels, torch.Generator().manual_seed(0))
    cut = len(data) - round(test_share * len(data))
    return Splits(data.at(order[:cut]), data.at(order[cut:]))
