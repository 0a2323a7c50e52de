"""From arrays to labelled images, and the stratified orders that splits follow."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from bench.plugin import LabelledImages, Splits


def labelled(pixels: NDArray[Any], labels: Any) -> LabelledImages:
    """Pixels (N, C, H, W) in 0..255 and labels (N,) as labelled images on the CPU."""
    return LabelledImages(
        torch.from_numpy(np.ascontiguousarray(pixels, dtype=np.uint8)),
        torch.from_numpy(np.asarray(labels, dtype=np.int64)),
    )


def stratified_order(labels: NDArray[Any], seed: int = 0) -> NDArray[np.int64]:
    """A fixed random order (N,) of which every beginning holds the classes in about their shares."""
    shuffled = np.random.default_rng(seed).permutation(len(labels))
    place = np.empty(len(labels))
    for label in np.unique(labels):
        members = np.flatnonzero(labels[shuffled] == label)
        place[members] = (np.arange(len(members)) + 0.5) / len(members)
    return shuffled[np.argsort(place, kind="stable")]


def stratified_split(pixels: NDArray[Any], labels: NDArray[Any], test_share: float) -> Splits:
    """The beginning of the stratified order for training, its end for testing."""
    order = stratified_order(labels)
    cut = len(labels) - round(test_share * len(labels))
    train, test = order[:cut], order[cut:]
    return Splits(labelled(pixels[train], labels[train]), labelled(pixels[test], labels[test]))
