"""CIFAR-10 and CIFAR-100: the real files if they are available, and small archives in their layout."""

import pickle
import time

import numpy as np
import pytest
import torch
import torchvision.datasets
from dataset_files import md5, tarred

from bench.datasets.cifar10 import CIFAR10
from bench.datasets.cifar100 import CIFAR100
from bench.errors import RequestError


def test_cifar10_reads_the_official_files(cifar10_root):
    dataset = CIFAR10()
    dataset.prepare(cifar10_root)
    splits = dataset.splits(cifar10_root)
    assert splits.train.images.shape == (50000, 3, 32, 32)
    assert splits.test.labels.bincount().tolist() == [1000] * 10
    mean = splits.train.images.float().mean((0, 2, 3)) / 255
    torch.testing.assert_close(mean, torch.tensor(dataset.spec.mean), atol=1e-3, rtol=0)
    reference = torchvision.datasets.CIFAR10(cifar10_root, train=False)
    assert np.array_equal(splits.test.images.permute(0, 2, 3, 1), reference.data)
    assert splits.test.labels.tolist() == reference.targets


def test_later_starts_of_cifar10_take_under_two_seconds(cifar10_root, monkeypatch):
    CIFAR10().prepare(cifar10_root)
    monkeypatch.setattr(CIFAR10, "reader", property(lambda self: pytest.fail("decoded again")))
    begun = time.perf_counter()
    CIFAR10().prepare(cifar10_root)
    splits = CIFAR10().splits(cifar10_root)
    assert time.perf_counter() - begun < 2
    assert len(splits.train) == 50000


def test_a_missing_cifar10_is_one_line(offline, tmp_path):
    with pytest.raises(RequestError, match="cifar10: not found whole under") as caught:
        CIFAR10().prepare(tmp_path)
    assert "\n" not in str(caught.value)


def small_cifar(server, monkeypatch, dataset, place: str) -> np.ndarray:
    """Let ``dataset`` read an archive of 10 images a batch, in the layout of ``place``; gives the pixels."""
    reader, generator = dataset().reader, np.random.default_rng(0)
    fine, pixels, members, hashes = "100" in place, [], {}, {}
    for name in [name for name, _ in reader.train_list + reader.test_list]:
        pixels.append(generator.integers(0, 256, (10, 3072), np.uint8))
        batch = {"data": pixels[-1], "fine_labels" if fine else "labels": list(range(10))}
        if fine:
            batch["coarse_labels"] = [0] * 10
        hashes[name] = pickle.dumps(batch)
    hashes[reader.meta["filename"]] = pickle.dumps({reader.meta["key"]: ["name"]})
    members = {f"{place}/{name}": content for name, content in hashes.items()}
    server.files[reader.filename] = tarred(members)
    monkeypatch.setattr(reader, "url", f"{server.url}/{reader.filename}")
    monkeypatch.setattr(reader, "tgz_md5", md5(server.files[reader.filename]))
    monkeypatch.setattr(reader, "meta", {**reader.meta, "md5": md5(hashes[reader.meta["filename"]])})
    for part in ("train_list", "test_list"):
        monkeypatch.setattr(reader, part, [[name, md5(hashes[name])] for name, _ in getattr(reader, part)])
    return np.concatenate(pixels).reshape(-1, 3, 32, 32)


@pytest.mark.parametrize(("dataset", "batches"), [(CIFAR10, 5), (CIFAR100, 1)])
def test_cifar_downloads_and_a_changed_batch_is_damaged(server, monkeypatch, tmp_path, dataset, batches):
    pixels = small_cifar(server, monkeypatch, dataset, dataset.directory)
    splits = dataset().splits(tmp_path)
    assert np.array_equal(splits.train.images, pixels[: 10 * batches])
    assert np.array_equal(splits.test.images, pixels[10 * batches :])
    assert splits.train.labels.tolist() == list(range(10)) * batches
    assert len(server.asked) == 1
    batch = tmp_path / dataset.directory / dataset().reader.test_list[0][0]
    batch.write_bytes(batch.read_bytes()[:-1] + b"!")
    with pytest.raises(RequestError, match=f"{dataset.name}: not found whole under .* is damaged or half unpacked"):
        dataset().prepare(tmp_path)
