"""The first use of a data set that must be downloaded: it is downloaded once, and every failure is one line."""

import errno
import threading
import zipfile

import pytest
from dataset_files import files_below, small_tiny_imagenet

from bench.datasets.cifar10 import CIFAR10
from bench.datasets.cifar100 import CIFAR100
from bench.datasets.fashion_mnist import FashionMNIST
from bench.datasets.gtsrb import GTSRB
from bench.datasets.imagenette import Imagenette
from bench.datasets.tiny_imagenet import TinyImageNet
from bench.errors import RequestError


def test_several_threads_download_once(server, monkeypatch, tmp_path):
    small_tiny_imagenet(server, monkeypatch)
    found, errors = [], []

    def start():
        try:
            found.append(TinyImageNet().splits(tmp_path).train.labels.tolist())
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert found == [[0, 0, 1, 1, 2, 2]] * 4
    assert len(server.asked) == 1


def test_an_archive_that_exists_needs_no_network(server, monkeypatch, tmp_path):
    (tmp_path / "tiny-imagenet-200.zip").write_bytes(small_tiny_imagenet(server, monkeypatch))
    TinyImageNet().prepare(tmp_path)
    assert server.asked == []


def test_a_damaged_archive_is_one_line_before_anything_is_unpacked(server, monkeypatch, tmp_path):
    content = small_tiny_imagenet(server, monkeypatch)
    server.files["t.zip"] = content[:500] + bytes(10) + content[510:]
    with pytest.raises(RequestError, match="damaged: its MD5 is") as caught:
        TinyImageNet().prepare(tmp_path)
    assert "\n" not in str(caught.value)
    assert files_below(tmp_path) == []


def test_a_full_disk_is_one_line(server, monkeypatch, tmp_path):
    small_tiny_imagenet(server, monkeypatch)
    (tmp_path / "tiny-imagenet-200.zip.part").symlink_to("/dev/full")
    with pytest.raises(RequestError, match=r"tiny_imagenet: the disk of .* is full"):
        TinyImageNet().prepare(tmp_path)
    assert files_below(tmp_path) == []


def test_a_disk_that_fills_up_while_unpacking_leaves_the_archive_only(server, monkeypatch, tmp_path):
    small_tiny_imagenet(server, monkeypatch)
    written = []

    def copy(source, target, *args):
        written.append(target.write(source.read()))
        if len(written) == 5:
            raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(zipfile.shutil, "copyfileobj", copy)
        with pytest.raises(RequestError, match=r"tiny_imagenet: the disk of .* is full"):
            TinyImageNet().prepare(tmp_path)
    assert files_below(tmp_path) == ["tiny-imagenet-200.zip"]
    TinyImageNet().prepare(tmp_path)
    assert len(server.asked) == 1


@pytest.mark.parametrize("dataset", [CIFAR10(), CIFAR100(), FashionMNIST(), GTSRB(), Imagenette(), TinyImageNet()])
def test_without_a_network_it_is_one_line(offline, tmp_path, dataset):
    with pytest.raises(RequestError, match=f"{dataset.name}: not found whole under") as caught:
        dataset.prepare(tmp_path)
    assert "no network" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert dataset.training_images(tmp_path) == dataset.published[0] > 9000
    assert files_below(tmp_path) == []
