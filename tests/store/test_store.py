"""The store: whole stages or none, merging by copying, and what is not a store."""

import json
import os
import platform
import shutil
import subprocess
import time

import psutil
import pytest
import torch

from bench.errors import RequestError
from bench.store.store import Store


def test_a_stage_is_there_whole(tmp_path):
    store = Store(tmp_path / "s")
    tensors = {"a": torch.arange(6).reshape(2, 3), "b": torch.rand(2).t()}
    store.write("victims", "ab12", {"x.safetensors": tensors, "stage.json": {"n": 1}, "t.txt": "text"})
    assert store.has("victims", "ab12")
    assert store.read_json("victims", "ab12", "stage.json") == {"n": 1}
    loaded = store.tensors("victims", "ab12", "x.safetensors")
    assert all(torch.equal(loaded[name], tensors[name]) for name in tensors)
    assert not any((store.root / "tmp").iterdir())


def test_a_write_that_fails_leaves_nothing(tmp_path):
    store = Store(tmp_path / "s")
    with pytest.raises(TypeError):
        store.write("cells", "ab12", {"a.json": {"fine": 1}, "b.json": {"bad": object()}})
    assert not store.has("cells", "ab12")
    assert not any((store.root / "tmp").iterdir())


def test_what_is_finished_stays_and_a_failure_is_replaced(tmp_path):
    store = Store(tmp_path / "s")
    for section, kept in (("cells", 1), ("failures", 2)):
        for value in (1, 2):
            store.write(section, "ab12", {"v.json": {"v": value}})
        assert store.read_json(section, "ab12", "v.json") == {"v": kept}


def test_two_stores_merge_by_copying(tmp_path):
    first, second = Store(tmp_path / "a"), Store(tmp_path / "b")
    first.write("cells", "aa11", {"v.json": {"v": 1}})
    second.write("cells", "bb22", {"v.json": {"v": 2}})
    shutil.copytree(second.root, first.root, dirs_exist_ok=True)
    merged = Store(first.root)
    assert merged.has("cells", "aa11")
    assert merged.has("cells", "bb22")


def test_something_else_is_not_taken_for_a_store(tmp_path):
    (tmp_path / "file").write_text("x")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").write_text("x")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "store.json").write_text(json.dumps({"format": "groceries"}))
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "store.json").write_text("{")
    for name in ("file", "full", "other", "broken"):
        with pytest.raises(RequestError, match=name):
            Store(tmp_path / name)
    assert (tmp_path / "full" / "thesis.tex").read_text() == "x"
    with pytest.raises(RequestError, match="no store there yet"):
        Store(tmp_path / "gone", create=False)


def test_only_the_drafts_of_the_dead_are_swept(tmp_path):
    store = Store(tmp_path / "s")
    here = platform.node()
    names = [f"{os.getpid()}-x@{here}", f"{2**22 + 1}-x@{here}", f"{2**22 + 1}-x@another-machine"]
    alive, dead, elsewhere = (store.root / "tmp" / name for name in names)
    for draft in (alive, dead, elsewhere):
        draft.mkdir()
    store.sweep()
    assert alive.is_dir()
    assert not dead.exists()
    assert elsewhere.is_dir()


def test_what_a_killed_process_left_is_swept_before_its_parent_has_noticed(tmp_path):
    """Until then there is still a process of that number, a zombie."""
    store = Store(tmp_path / "s")
    with subprocess.Popen(["sleep", "60"]) as process:
        draft = store.root / "tmp" / f"{process.pid}-abc@{platform.node()}"
        draft.mkdir()
        store.sweep()
        assert draft.is_dir()
        process.kill()
        while psutil.Process(process.pid).status() != psutil.STATUS_ZOMBIE:
            time.sleep(0.01)
        store.sweep()
        assert not draft.exists()
