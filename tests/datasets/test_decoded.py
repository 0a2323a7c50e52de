"""Images are decoded once: when they are decoded again, and what a kill, a full disk or a damaged file does."""

import errno
import os
import shutil

import numpy as np
import pytest
import torch
from dataset_files import colours, decoded_entries
from PIL import Image

from bench.datasets import _decoded
from bench.datasets.gtsrb import GTSRB
from bench.datasets.image_folder import ImageFolder
from bench.errors import RequestError


def test_it_is_decoded_again_only_when_the_source_has_changed(pets, tmp_path, monkeypatch):
    ImageFolder(path=str(pets), size=8).prepare(tmp_path)
    [first] = decoded_entries(tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr(_decoded, "_write", lambda *args: pytest.fail("decoded again"))
        ImageFolder(path=str(pets), size=8, train_size=5).prepare(tmp_path)
    Image.new("RGB", (8, 8), (7, 7, 7)).save(pets / "owl" / "9.png")
    splits = ImageFolder(path=str(pets), size=8, test_share=0.04).splits(tmp_path)
    assert len(splits.train) + len(splits.test) == 26
    assert (7, 7) in colours(splits.train) + colours(splits.test)
    assert len(decoded_entries(tmp_path)) == 2  # another share is another split
    ImageFolder(path=str(pets), size=8).prepare(tmp_path)
    assert len(decoded_entries(tmp_path)) == 2  # what no longer holds is removed
    assert first not in decoded_entries(tmp_path)
    assert ImageFolder(path=str(pets), size=16).splits(tmp_path).train.images.shape == (21, 3, 16, 16)


def test_decoded_images_of_an_older_source_are_removed(gtsrb_copy):
    before = len(GTSRB().splits(gtsrb_copy).test)
    [first] = decoded_entries(gtsrb_copy)
    answers = gtsrb_copy / "gtsrb" / "GT-final_test.csv"
    answers.write_text(answers.read_text().rsplit("\n", 2)[0] + "\n")  # its last row
    assert len(GTSRB().splits(gtsrb_copy).test) == before - 1
    [second] = decoded_entries(gtsrb_copy)
    assert second != first


def test_a_full_disk_while_decoding_is_one_line_and_leaves_nothing(gtsrb_copy, monkeypatch):
    def full(*args):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(RequestError, match=r"gtsrb: the disk of .* is full") as caught:
            GTSRB().prepare(gtsrb_copy)
    assert "\n" not in str(caught.value)
    assert decoded_entries(gtsrb_copy) == []
    GTSRB().prepare(gtsrb_copy)


def test_the_leftovers_of_a_killed_process_are_ignored(gtsrb_copy):
    GTSRB().prepare(gtsrb_copy)
    [entry] = decoded_entries(gtsrb_copy)
    room = gtsrb_copy / "decoded"
    (room / entry).rename(room / "gtsrb.half")  # as a kill just before the rename leaves it
    (room / "gtsrb.half" / "train.npy").unlink()
    assert len(GTSRB().splits(gtsrb_copy).train) == 43
    assert decoded_entries(gtsrb_copy) == [entry]


@pytest.mark.parametrize("size", [0, 60, 1000])
def test_a_truncated_decoded_file_is_made_again(gtsrb_copy, size):
    expected = GTSRB().splits(gtsrb_copy).train.images.clone()
    [entry] = decoded_entries(gtsrb_copy)
    os.truncate(gtsrb_copy / "decoded" / entry / "images.npy", size)
    assert torch.equal(GTSRB().splits(gtsrb_copy).train.images, expected)


def _pipe(file):
    file.unlink()
    os.mkfifo(file)


def _endless(file):
    file.unlink()
    file.symlink_to("/dev/zero")


def _huge(file):
    with file.open("wb") as stream:
        np.lib.format.write_array_header_1_0(stream, {"descr": "<i8", "fortran_order": False, "shape": (10**15,)})


def _array(change):
    def spoil(file):
        array = change(np.load(file))
        np.save(file, array, allow_pickle=True)

    return spoil


DAMAGE = {
    "images.npy": {
        "dtype": _array(lambda images: images.astype(np.float32)),
        "signed": _array(lambda images: images.astype(np.int8)),
        "shape": _array(lambda images: images[:, :, :-1]),
        "axes": _array(lambda images: images[:, 0]),
        "count": _array(lambda images: images[1:]),
        "objects": _array(lambda images: np.array([None, {}])),
        "text": lambda file: file.write_text("\x93NUMPY\n"),
        "pipe": _pipe,
        "endless": _endless,
        "huge": _huge,
    },
    "train.npy": {
        "dtype": _array(lambda labels: labels.astype(np.float64)),
        "axes": _array(lambda labels: labels[:, None]),
        "scalar": _array(lambda labels: labels[0]),
        "large": _array(lambda labels: labels + 40),
        "negative": _array(lambda labels: labels - 1),
        "others": _array(lambda labels: labels[::-1]),
        "none": _array(lambda labels: labels[:0]),
        "pipe": _pipe,
        "endless": _endless,
        "huge": _huge,
    },
}


@pytest.mark.parametrize(("name", "damage"), [(name, damage) for name, kinds in DAMAGE.items() for damage in kinds])
def test_a_damaged_decoded_file_is_made_again(gtsrb_copy, name, damage):
    expected = GTSRB().splits(gtsrb_copy)
    pixels, labels = expected.train.images.clone(), expected.train.labels.clone()
    [entry] = decoded_entries(gtsrb_copy)
    DAMAGE[name][damage](gtsrb_copy / "decoded" / entry / name)
    again = GTSRB().splits(gtsrb_copy)
    assert torch.equal(again.train.images, pixels)
    assert torch.equal(again.train.labels, labels)
    assert decoded_entries(gtsrb_copy) == [entry]


@pytest.mark.parametrize("whole", [True, False])
def test_a_flipped_bit_of_a_picture_is_seen_before_a_run(gtsrb_copy, whole):
    expected = GTSRB().splits(gtsrb_copy).test.images.clone()
    [entry] = decoded_entries(gtsrb_copy)
    images = gtsrb_copy / "decoded" / entry / "images.npy"
    content = bytearray(images.read_bytes())
    content[-1] ^= 1
    images.write_bytes(content)
    if not whole:  # as it was decoded by a version that kept no sums
        (images.parent / "SHA256SUMS").unlink()
    GTSRB().prepare(gtsrb_copy)
    assert torch.equal(GTSRB().splits(gtsrb_copy).test.images, expected) is whole


def test_whatever_lies_in_the_place_of_a_decoded_entry_is_replaced(gtsrb_copy, tmp_path_factory):
    GTSRB().prepare(gtsrb_copy)
    [entry] = decoded_entries(gtsrb_copy)
    shutil.rmtree(gtsrb_copy / "decoded" / entry)
    (gtsrb_copy / "decoded" / entry).write_text("no directory")
    assert len(GTSRB().splits(gtsrb_copy).train) == 43
    bait = tmp_path_factory.mktemp("bait")
    (bait / "thesis.txt").write_text("precious")
    shutil.rmtree(gtsrb_copy / "decoded" / entry)
    (gtsrb_copy / "decoded" / entry).symlink_to(bait)
    assert len(GTSRB().splits(gtsrb_copy).train) == 43
    assert [file.name for file in bait.iterdir()] == ["thesis.txt"]


def test_nothing_written_to_the_images_reaches_the_disk(gtsrb_copy):
    before = GTSRB().splits(gtsrb_copy).train.images
    before.fill_(200)
    assert GTSRB().splits(gtsrb_copy).train.images[:, 0, 0, 0].tolist() == list(range(43))


def test_read_only_data_are_decoded_into_the_users_cache(gtsrb_copy, monkeypatch, tmp_path_factory):
    cache = tmp_path_factory.mktemp("cache")
    (gtsrb_copy / "decoded").touch()  # nothing can be put there, as in a directory that may only be read
    monkeypatch.setattr(_decoded, "READ_ONLY", (errno.EEXIST,))
    monkeypatch.setattr(_decoded.platformdirs, "user_cache_path", lambda name: cache / name)
    assert len(GTSRB().splits(gtsrb_copy).train) == 43
    assert len(decoded_entries(cache / "defensebench")) == 1
    (gtsrb_copy / "decoded").unlink()
    (cache / "defensebench" / "decoded").rename(gtsrb_copy / "decoded")  # decoded by whoever put the data there
    monkeypatch.setattr(_decoded, "_writable_cache", lambda folder: pytest.fail("something was to be written"))
    assert len(GTSRB().splits(gtsrb_copy).train) == 43
