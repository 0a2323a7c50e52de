"""The data sets: sizes, fixed stratified splits, the first n of an order, and what a missing one says."""

from pathlib import Path

import pytest
import torch

from bench.datasets.cifar10 import CIFAR10
from bench.datasets.digits import Digits
from bench.datasets.mnist5k import MNIST5k
from bench.errors import RequestError
from bench.images import augment, batches, stratified_order


def test_mnist5k_is_stratified_and_disjoint():
    splits = MNIST5k().splits(Path())
    assert splits.train.labels.bincount().tolist() == [400] * 10
    assert splits.test.labels.bincount().tolist() == [100] * 10
    train = {image.numpy().tobytes() for image in splits.train.images}
    assert not any(image.numpy().tobytes() in train for image in splits.test.images)
    assert splits.train.floats.mean() == pytest.approx(0.13, abs=0.01)


@pytest.mark.parametrize("dataset", [MNIST5k(), Digits()])
def test_what_it_says_of_itself_is_true(dataset):
    train = dataset.splits(Path()).train
    assert dataset.training_images(Path()) == len(train)
    assert train.floats.mean() == pytest.approx(dataset.spec.mean[0], abs=2e-3)
    assert train.floats.std() == pytest.approx(dataset.spec.std[0], abs=2e-3)


def test_train_size_takes_the_beginning_of_one_order():
    small, large = (Digits(train_size=size).splits(Path()) for size in (200, 400))
    assert torch.equal(small.train.images, large.train.images[:200])
    assert small.train.labels.bincount().min() >= 19
    assert torch.equal(small.test.images, large.test.images)
    with pytest.raises(RequestError, match="train_size=9999"):
        Digits(train_size=9999).splits(Path())


def test_every_beginning_of_the_order_is_stratified():
    labels = torch.tensor([0] * 80 + [1] * 20)
    order = stratified_order(labels, torch.Generator().manual_seed(0))
    assert sorted(order.tolist()) == list(range(100))
    for count in range(5, 100):
        assert abs(int((labels[order[:count]] == 1).sum()) - count / 5) <= 1


def test_cifar10_reads_the_official_files(cifar10_root):
    dataset = CIFAR10()
    dataset.check(cifar10_root)
    splits = dataset.splits(cifar10_root)
    assert splits.train.images.shape == (50000, 3, 32, 32)
    assert splits.test.labels.bincount().tolist() == [1000] * 10
    mean = splits.train.images.float().mean((0, 2, 3)) / 255
    torch.testing.assert_close(mean, torch.tensor(dataset.spec.mean), atol=1e-3, rtol=0)


def test_a_missing_cifar10_is_one_line(tmp_path, monkeypatch):
    def offline(*args, **kwargs):
        raise OSError("no network")

    monkeypatch.setattr("torchvision.datasets.cifar.download_and_extract_archive", offline)
    with pytest.raises(RequestError, match="cifar10: not found whole under") as caught:
        CIFAR10().check(tmp_path)
    assert "\n" not in str(caught.value)


def test_crops_and_flips_are_those_of_a_loop():
    images = torch.rand(40, 2, 6, 6, generator=torch.Generator().manual_seed(0))
    augmented = augment(images, torch.Generator().manual_seed(1), crop=2, flip=True)
    padded = torch.nn.functional.pad(images, (2,) * 4)
    flipped = 0
    for image, source in zip(augmented, padded, strict=True):
        windows = [source[:, r : r + 6, c : c + 6] for r in range(5) for c in range(5)]
        plain = any(torch.equal(image, window) for window in windows)
        mirrored = any(torch.equal(image, window.flip(-1)) for window in windows)
        assert plain or mirrored
        flipped += mirrored and not plain
    assert 8 <= flipped <= 32


def test_batches_show_every_image_once():
    seen = torch.cat(list(batches(10, 4, torch.Generator().manual_seed(0), torch.device("cpu"))))
    assert sorted(seen.tolist()) == list(range(10))
    assert [len(b) for b in batches(9, 4, torch.Generator(), torch.device("cpu"))] == [4, 4]  # a single one is left out
