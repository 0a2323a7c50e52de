"""MNIST-5k: its split."""

from pathlib import Path

import pytest

from bench.datasets.mnist5k import MNIST5k


def test_mnist5k_is_stratified_and_disjoint():
    splits = MNIST5k().splits(Path())
    assert splits.train.labels.bincount().tolist() == [400] * 10
    assert splits.test.labels.bincount().tolist() == [100] * 10
    train = {image.numpy().tobytes() for image in splits.train.images}
    assert not any(image.numpy().tobytes() in train for image in splits.test.images)
    assert splits.train.floats.mean() == pytest.approx(0.13, abs=0.01)
