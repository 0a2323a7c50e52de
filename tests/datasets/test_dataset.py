"""What every data set offers: a specification, a size, and a training set that begins in a fixed stratified order."""

from pathlib import Path

import pytest
import torch

from bench.datasets.cifar10 import CIFAR10
from bench.datasets.cifar100 import CIFAR100
from bench.datasets.digits import Digits
from bench.datasets.fashion_mnist import FashionMNIST
from bench.datasets.gtsrb import GTSRB
from bench.datasets.imagenette import Imagenette
from bench.datasets.mnist5k import MNIST5k
from bench.datasets.tiny_imagenet import TinyImageNet
from bench.errors import RequestError


@pytest.mark.parametrize("dataset", [MNIST5k(), Digits()])
def test_its_specification_is_true(dataset):
    train = dataset.splits(Path()).train
    assert dataset.training_images(Path()) == len(train)
    assert train.floats.mean() == pytest.approx(dataset.spec.mean[0], abs=2e-3)
    assert train.floats.std() == pytest.approx(dataset.spec.std[0], abs=2e-3)


@pytest.mark.parametrize("kind", [CIFAR10, CIFAR100, FashionMNIST, GTSRB, Imagenette])
def test_classes_that_have_names_have_one_each(kind):
    dataset = kind(train_size=100)
    assert len(set(dataset.class_names)) == len(dataset.class_names) == dataset.spec.classes
    line = dataset.summary(Path())
    assert line.startswith(f"100 training images in {dataset.spec.classes} classes: {dataset.class_names[0]}, ")
    assert line.endswith(", …") == (dataset.spec.classes > 20)


def test_classes_without_names_are_counted(tmp_path):
    assert MNIST5k().summary(tmp_path) == "4000 training images in 10 classes"


def test_train_size_takes_the_beginning_of_one_order():
    small, large = (Digits(train_size=size).splits(Path()) for size in (200, 400))
    assert torch.equal(small.train.images, large.train.images[:200])
    assert small.train.labels.bincount().min() >= 19
    assert torch.equal(small.test.images, large.test.images)
    with pytest.raises(RequestError, match="train_size=9999"):
        Digits(train_size=9999).splits(Path())


@pytest.mark.parametrize(
    ("dataset", "shape", "classes", "flip", "crop"),
    [
        (CIFAR10(), (3, 32, 32), 10, True, 4),
        (CIFAR100(), (3, 32, 32), 100, True, 4),
        (FashionMNIST(), (1, 28, 28), 10, True, 2),
        (GTSRB(), (3, 32, 32), 43, False, 4),
        (GTSRB(size=64), (3, 64, 64), 43, False, 8),
        (TinyImageNet(), (3, 64, 64), 200, True, 8),
        (Imagenette(), (3, 160, 160), 10, True, 20),
    ],
)
def test_the_specification_is_known_before_the_download(dataset, shape, classes, flip, crop):
    spec = dataset.spec
    assert (spec.shape, spec.classes, dataset.flip, dataset.crop) == (shape, classes, flip, crop)
    assert len(spec.mean) == len(spec.std) == spec.channels
