"""The store: whole stages or none, and merging by copying."""

import shutil

import pytest
import torch
from stores import AA11, AB12, BB22

from bench.store.store import Store


def test_a_written_stage_is_read_as_it_was(tmp_path):
    store = Store(tmp_path / "s")
    tensors = {"a": torch.arange(6).reshape(2, 3), "b": torch.rand(2).t()}
    store.write("victims", AB12, {"x.safetensors": tensors, "stage.json": {"n": 1}, "t.txt": "text"})
    assert store.has("victims", AB12)
    assert store.read_json("victims", AB12, "stage.json") == {"n": 1}
    loaded = store.tensors("victims", AB12, "x.safetensors")
    assert all(torch.equal(loaded[name], tensors[name]) for name in tensors)
    assert not any((store.root / "tmp").iterdir())


def test_a_write_that_fails_leaves_nothing(tmp_path):
    store = Store(tmp_path / "s")
    with pytest.raises(TypeError):
        store.write("cells", AB12, {"a.json": {"fine": 1}, "b.json": {"bad": object()}})
    assert not store.has("cells", AB12)
    assert not any((store.root / "tmp").iterdir())


def test_a_finished_cell_stays_and_a_failure_is_replaced(tmp_path):
    store = Store(tmp_path / "s")
    for section, expected in (("cells", 1), ("failures", 2)):
        for value in (1, 2):
            store.write(section, AB12, {"v.json": {"v": value}})
        assert store.read_json(section, AB12, "v.json") == {"v": expected}


def test_two_stores_merge_by_copying(tmp_path):
    first, second = Store(tmp_path / "a"), Store(tmp_path / "b")
    first.write("cells", AA11, {"v.json": {"v": 1}})
    second.write("cells", BB22, {"v.json": {"v": 2}})
    shutil.copytree(second.root, first.root, dirs_exist_ok=True)
    merged = Store(first.root)
    assert merged.has("cells", AA11)
    assert merged.has("cells", BB22)
