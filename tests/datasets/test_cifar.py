"""CIFAR-10 and CIFAR-100: the real files if they are available, and small archives in their layout."""

import pickle
import time
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision.datasets
from dataset_files import md5, tarred

from bench.datasets._cifar_pickle import load
from bench.datasets._download import fetch, unpack
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


def small_cifar(server, monkeypatch, dataset, place: str, protocol: int = 2) -> np.ndarray:
    """Let ``dataset`` read an archive of 10 images a batch, in the layout of ``place``; gives the pixels."""
    reader, generator = dataset().reader, np.random.default_rng(0)
    fine, pixels, members, hashes = "100" in place, [], {}, {}
    for name in [name for name, _ in reader.train_list + reader.test_list]:
        pixels.append(generator.integers(0, 256, (10, 3072), np.uint8))
        batch = {"data": pixels[-1], "fine_labels" if fine else "labels": list(range(10))}
        if fine:
            batch["coarse_labels"] = [0] * 10
        hashes[name] = pickle.dumps(batch, protocol)
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


class Bait:
    """What touches a file when it is unpickled."""

    def __init__(self, file, how=Path.touch):
        self.file, self.how = file, how

    def __reduce__(self):
        return self.how, (self.file,)


@pytest.mark.parametrize("dataset", [CIFAR10, CIFAR100])
@pytest.mark.parametrize("vouched", [False, True])
@pytest.mark.parametrize("file", ["batch", "meta"])
def test_a_malicious_pickle_runs_nothing(server, monkeypatch, tmp_path, dataset, vouched, file):
    small_cifar(server, monkeypatch, dataset, dataset.directory)
    reader = dataset().reader
    fetch(reader.url, tmp_path / reader.filename, reader.tgz_md5)
    unpack(tmp_path / reader.filename, {dataset.directory: tmp_path / dataset.directory})
    name = reader.test_list[0][0] if file == "batch" else reader.meta["filename"]
    content = pickle.dumps({"data": Bait(tmp_path / "ran"), "labels": [0], "fine_labels": [0]})
    (tmp_path / dataset.directory / name).write_bytes(content)
    if vouched:  # as if somebody had made it with the right sum
        monkeypatch.setattr(reader, "test_list", [[name, md5(content)]])
    if file == "batch" or vouched:
        with pytest.raises(RequestError, match=f"{dataset.name}: not found whole under .* is damaged") as caught:
            dataset().splits(tmp_path)
        assert len(str(caught.value).splitlines()) == 1
    else:
        dataset().splits(tmp_path)  # the names of the classes are not read
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4])
def test_arrays_are_read_as_numpy_reads_them(protocol):
    arrays = {
        "bytes": np.arange(12, dtype=np.uint8).reshape(3, 4),
        "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "swapped": np.arange(3, dtype=">i4"),
    }
    found = load(pickle.dumps({**arrays, "text": "é", "raw": b"\xff", "list": [1, 2.5, None]}, protocol))
    assert (found["text"], found["raw"], found["list"]) == ("é", b"\xff", [1, 2.5, None])
    for name, array in arrays.items():
        assert np.array_equal(found[name], array), name
        assert found[name].dtype == array.dtype


@pytest.mark.parametrize(
    "content",
    [
        pickle.dumps({"a": Bait("x", print)}),
        pickle.dumps({"a": np.array([None])}),
        pickle.dumps({"a": np.zeros(2, "u1,i4")}),
        pickle.dumps([1]),
        pickle.dumps(np.zeros(3)),
        b"\x80\x02cnumpy\nndarray\n}X\x01\x00\x00\x00aK\x01sb.",  # sets an attribute of the class
        b"\x80\x02}X\x01\x00\x00\x00acnumpy\nndarray\nB\xff\xff\xff\x7f",
        b"cos\nsystem\n(S'true'\ntR.",
        b"cbuiltins\neval\n(S'1'\ntR.",
        b"",
        b"not a pickle",
    ],
)
def test_a_pickle_of_anything_else_is_refused_in_one_line(content):
    with pytest.raises(ValueError, match="not a pickle of plain data") as caught:
        load(content)
    assert len(str(caught.value).splitlines()) == 1
