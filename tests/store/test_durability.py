"""A full disk leaves nothing of a stage, and a power cut nothing unfinished."""

import errno
import os
import resource
from pathlib import Path

import pytest
import torch
from stores import AB12, AB34

from bench.store import hashes
from bench.store.store import Store


def test_a_full_disk_is_one_line_with_a_path_and_leaves_nothing(tmp_path):
    store = Store(tmp_path / "s")
    content = {"stage.json": {"n": 1}, "model.safetensors": {"w": torch.zeros(50_000)}}
    error = limited(100_000, lambda: store.write("victims", AB12, content))
    assert error.errno == errno.EFBIG
    assert str(store.folder("victims", AB12) / "model.safetensors") in str(error)
    assert "\n" not in str(error)
    assert not store.has("victims", AB12)
    assert not list((store.root / "tmp").iterdir())
    store.write("victims", AB12, content)
    assert store.contents("victims", AB12)


def test_a_disk_that_is_full_only_when_synced_leaves_the_stage_before(tmp_path, monkeypatch):
    store = Store(tmp_path / "s")
    store.write("checkpoints", AB12, {"state.pt": {"epochs": 1}})

    def full(handle):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=rf"No space left on device: '.*checkpoints/ab/{AB12}/state.pt'"):
        store.write("checkpoints", AB12, {"state.pt": {"epochs": 2}})
    assert store.state("checkpoints", AB12, "state.pt", torch.device("cpu")) == {"epochs": 1}
    assert not list((store.root / "tmp").iterdir())


def test_all_of_a_stage_is_on_the_disk_before_it_appears(tmp_path, monkeypatch):
    store, events, rename = Store(tmp_path / "s"), [], Path.rename
    monkeypatch.setattr(os, "fsync", lambda handle: events.append(Path(f"/proc/self/fd/{handle}").readlink()))
    monkeypatch.setattr(Path, "rename", lambda path, target: (events.append("appears"), rename(path, target))[1])
    store.write("cells", AB12, {"a.json": {}, "record.json": {}})
    at = events.index("appears")
    assert [path.name for path in events[:at]][:-1] == ["a.json", "record.json", hashes.NAME]
    assert events[at - 1].parent == store.root / "tmp"
    assert events[at + 1 :] == [store.root / "cells" / "ab", store.root / "cells", store.root]
    events.clear()
    store.write("cells", AB34, {"record.json": {}}, durable=False)
    assert events == ["appears"]


def limited(size: int, action) -> OSError:
    """The error of an action that may write no file above ``size`` bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))  # Python ignores the signal and gets EFBIG
    try:
        with pytest.raises(OSError) as caught:  # noqa: PT011 - the caller checks the number
            action()
        return caught.value
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
