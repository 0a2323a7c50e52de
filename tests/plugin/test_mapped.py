"""Images in a mapped file: the same values as in memory, and no page of them stays resident."""

import mmap
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from bench.plugin import mapped
from bench.plugin.values import LabelledImages

IMAGES, SHAPE = 200, (3, 64, 64)


@pytest.fixture
def pair(tmp_path) -> tuple[torch.Tensor, torch.Tensor]:
    """Random images in a mapped file, and the same in memory."""
    pixels = np.random.default_rng(0).integers(0, 256, (IMAGES, *SHAPE), np.uint8)
    np.save(tmp_path / "images.npy", pixels)
    return mapped.tensor_of(np.load(tmp_path / "images.npy", mmap_mode="c")), torch.from_numpy(pixels)


def resident() -> int:
    """Bytes of mapped files that are resident in this process."""
    status = Path("/proc/self/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in status if line.startswith("RssFile:"))


@pytest.mark.parametrize("chunk", [1, 100_000, 2**24])
def test_what_is_taken_equals_what_memory_holds(pair, monkeypatch, chunk):
    monkeypatch.setattr(mapped, "CHUNK", chunk)
    there, here = pair
    order = torch.randperm(IMAGES, generator=torch.Generator().manual_seed(0))
    for index in (order, order[:7], order[:0], order > 100, torch.zeros(IMAGES, dtype=torch.bool), -order[:3]):
        assert torch.equal(mapped.rows(there, index), here[index])
        assert torch.equal(mapped.rows(there[50:], index[: IMAGES - 50] % 150), here[50:][index[: IMAGES - 50] % 150])
    assert torch.equal(mapped.copied(there), here)
    assert mapped.moved(there, torch.device("cpu")) is there
    assert torch.equal(mapped.copied(there, torch.device("cpu")), here)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux says what is resident")
@pytest.mark.parametrize("take", ["rows", "copied", "at", "floats"])
def test_what_was_read_does_not_stay_resident(pair, take):
    data = LabelledImages(pair[0], torch.zeros(IMAGES, dtype=torch.int64))
    calls = {
        "rows": lambda: mapped.rows(data.images, torch.arange(IMAGES)),
        "copied": lambda: mapped.copied(data.images),
        "at": lambda: data.at(torch.ones(IMAGES, dtype=torch.bool)),
        "floats": lambda: data.floats,
    }
    size = data.images.nbytes
    calls[take]()  # what it loads, stays
    before = resident()
    calls[take]()
    assert resident() - before < size / 4
    int(data.images.max())  # and this is how it would be seen
    assert resident() - before > size / 2


def test_images_in_memory_are_left_alone(pair):
    images = pair[1].clone()
    mapped.give_back(images)
    mapped.give_back(images[5:])
    assert torch.equal(images, pair[1])
    assert mapped.moved(images, torch.device("cpu")) is images


def test_the_file_is_never_written_and_the_map_ends_with_its_tensor(pair, tmp_path):
    content = (tmp_path / "images.npy").read_bytes()
    known = len(mapped._maps)
    images = mapped.tensor_of(np.load(tmp_path / "images.npy", mmap_mode="c"))
    images.fill_(7)
    assert isinstance(mapped._map_of(images[1:]), mmap.mmap)
    assert (tmp_path / "images.npy").read_bytes() == content
    assert len(mapped._maps) == known + 1
    del images
    assert len(mapped._maps) == known
