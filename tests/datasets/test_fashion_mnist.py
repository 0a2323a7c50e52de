"""Fashion-MNIST: what torchvision reads is what we read, and damaged files are reported."""

import gzip

import numpy as np
import pytest
import torch
import torchvision.datasets
from dataset_files import idx_bytes, md5

from bench.datasets.fashion_mnist import FashionMNIST, read_idx
from bench.errors import RequestError


def test_fashion_mnist_is_what_torchvision_reads(server, monkeypatch, tmp_path):
    generator, arrays = np.random.default_rng(0), []
    for count in (30, 20):
        arrays += [generator.integers(0, 256, (count, 28, 28), np.uint8), np.arange(count, dtype=np.uint8) % 10]
    resources = []
    for (name, _), array in zip(torchvision.datasets.FashionMNIST.resources, arrays, strict=True):
        server.files[name] = gzip.compress(idx_bytes(array))
        resources.append((name, md5(server.files[name])))
    monkeypatch.setattr(torchvision.datasets.FashionMNIST, "resources", resources)
    monkeypatch.setattr(torchvision.datasets.FashionMNIST, "mirrors", [f"{server.url}/"])
    monkeypatch.setattr(FashionMNIST, "published", (30, 20))
    splits = FashionMNIST().splits(tmp_path)
    assert np.array_equal(splits.train.images[:, 0], arrays[0])
    assert np.array_equal(splits.test.images[:, 0], arrays[2])
    assert splits.test.labels.tolist() == arrays[3].tolist()
    raw = tmp_path / "FashionMNIST" / "raw"
    for name, _ in resources:  # as torchvision leaves them, where somebody tidied up
        (raw / name.removesuffix(".gz")).write_bytes(gzip.decompress((raw / name).read_bytes()))
        (raw / name).unlink()
    reference = torchvision.datasets.FashionMNIST(tmp_path, train=False)
    assert torch.equal(FashionMNIST().splits(tmp_path).test.images[:, 0], reference.data)
    assert len(server.asked) == 4
    labels = raw / "t10k-labels-idx1-ubyte"
    labels.write_bytes(labels.read_bytes()[:-3])
    with pytest.raises(RequestError, match="t10k-labels-idx1-ubyte: damaged"):
        FashionMNIST().prepare(tmp_path)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0\0",
        idx_bytes(np.zeros(8, np.uint8)),
        idx_bytes(np.zeros(9, np.uint8))[:-1],
        b"\0\0\x09" + bytes(20),
        b"\x1f\x8b junk",
    ],
)
@pytest.mark.parametrize("name", ["labels", "labels.gz"])
def test_a_file_that_does_not_hold_nine_labels_is_refused_in_one_line(tmp_path, content, name):
    packed = gzip.compress(content) if name.endswith("gz") and b"junk" not in content else content
    (tmp_path / name).write_bytes(packed)
    with pytest.raises(RequestError, match=f"{name}: damaged: expected an IDX file of 9 items"):
        read_idx(tmp_path / name, 9)
