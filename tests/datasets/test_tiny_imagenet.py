"""Tiny ImageNet, from a small archive in its layout."""

import os

import pytest
from dataset_files import near, reds, small_tiny_imagenet

from bench.datasets.tiny_imagenet import TinyImageNet
from bench.errors import RequestError


def test_tiny_imagenet_numbers_its_classes_by_wnid(server, monkeypatch, tmp_path):
    small_tiny_imagenet(server, monkeypatch)
    assert TinyImageNet().training_images(tmp_path) == 6  # known before anything is downloaded
    TinyImageNet().prepare(tmp_path)
    splits = TinyImageNet().splits(tmp_path)
    assert splits.train.images.shape == (6, 3, 64, 64)
    assert splits.train.labels.tolist() == [0, 0, 1, 1, 2, 2]
    assert near(reds(splits.train.images), [20, 120, 40, 140, 0, 100])  # n01, n02, n03
    assert splits.test.labels.tolist() == [2, 0, 1]
    assert near(reds(splits.test.images), [0, 50, 100])
    assert TinyImageNet(size=16).splits(tmp_path).train.images.shape == (6, 3, 16, 16)
    assert len(server.asked) == 1


def test_an_incomplete_tiny_imagenet_is_refused(server, monkeypatch, tmp_path):
    small_tiny_imagenet(server, monkeypatch)
    TinyImageNet().prepare(tmp_path)
    next((tmp_path / "tiny-imagenet-200" / "train" / "n02" / "images").iterdir()).unlink()
    with pytest.raises(RequestError, match="not whole: 5 training and 3 validation images, expected 6 and 3"):
        TinyImageNet().prepare(tmp_path)
    (tmp_path / "tiny-imagenet-200" / "val" / "val_annotations.txt").unlink()
    with pytest.raises(RequestError, match=r"val_annotations\.txt"):
        TinyImageNet().training_images(tmp_path)


@pytest.mark.parametrize("name", ["wnids.txt", "val/val_annotations.txt"])
def test_a_damaged_list_is_one_line(server, monkeypatch, tmp_path, name):
    small_tiny_imagenet(server, monkeypatch)
    TinyImageNet().prepare(tmp_path)
    file = tmp_path / "tiny-imagenet-200" / name
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(RequestError, match=r"not whole: wnids.txt or val/val_annotations.txt") as caught:
        TinyImageNet().prepare(tmp_path)
    assert len(str(caught.value).splitlines()) == 1
    file.unlink()
    os.mkfifo(file)
    with pytest.raises(RequestError, match=f"not whole: {name} is missing or no regular file"):
        TinyImageNet().prepare(tmp_path)
