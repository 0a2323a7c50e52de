"""What is stored is used only if it is what was written: every bit, every file, and what is left by a full disk."""

import errno
import json
import os
import pickle
import random
import resource
import shutil
from pathlib import Path

import pytest
import torch

import bench
from bench.errors import Damaged, RequestError
from bench.store import files, hashes
from bench.store.checkpoints import Checkpoint
from bench.store.store import SECTIONS, Store

CPU = torch.device("cpu")
RAISES = """
from typing import ClassVar
from bench import Repair
class Raises(Repair):
    name: ClassVar[str] = "raises"
    def repair(self, model, known, context):
        raise RuntimeError("broken")
"""


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Store:
    """A victim, a cell, a failure and a checkpoint, as a run leaves them."""
    folder = tmp_path_factory.mktemp("small")
    (folder / "raises.py").write_text(RAISES)
    bench.run(
        datasets="digits[train_size=200]",
        models="resnet18[width=4]",
        attacks="badnets",
        defenses="none,raises",
        reference=40,
        plugin=[folder / "raises.py"],
        store=folder / "store",
        executor="inline",
    )
    kept = Store(folder / "store")
    momentum = {"state": {0: {"momentum": torch.rand(20)}}}
    Checkpoint(kept, "abcd").save({"epochs": 1, "model": {"weight": torch.rand(50)}, "optimizer": momentum})
    assert [kept.count(section) for section in SECTIONS] == [1, 1, 1, 1]
    return kept


def artefacts(store: Store) -> list[tuple[str, str, str]]:
    return [
        (section, key, path.name)
        for section in SECTIONS
        for key in store.keys(section)
        for path in sorted(store.folder(section, key).iterdir())
    ]


def read(store: Store, section: str, key: str, name: str) -> None:
    """Read a file as the benchmark does."""
    if name == hashes.NAME:
        store.hashes(section, key)
    elif name == "record.json":
        (store.record if section == "cells" else store.failure)(key)
    elif name == "state.pt":
        store.state(section, key, name, CPU)
    elif name.endswith(".safetensors"):
        store.tensors(section, key, name)
    elif name.endswith(".json"):
        store.read_json(section, key, name)
    else:
        store.read(section, key, name)


def test_each_of_200_flipped_bits_is_found_when_its_file_is_read(store):
    everything = artefacts(store)
    names = {name for _, _, name in everything}
    assert names >= {"model.safetensors", "predictions.safetensors", "pictures.safetensors", "stage.json"}
    assert names >= {"record.json", "traceback.txt", "state.pt", hashes.NAME}
    for artefact in everything:
        read(store, *artefact)
    chance, found = random.Random(6), 0
    for trial in range(200):
        section, key, name = everything[trial % len(everything)]
        path = store.folder(section, key) / name
        whole = path.read_bytes()
        bit = chance.randrange(8 * len(whole))
        flipped = bytearray(whole)
        flipped[bit // 8] ^= 1 << bit % 8
        path.write_bytes(flipped)
        with pytest.raises(Damaged) as caught:
            read(store, section, key, name)
        found += (caught.value.section, caught.value.key, caught.value.name) == (section, key, name)
        path.write_bytes(whole)
    assert found == 200


def test_every_single_bit_of_a_manifest_counts():
    whole = hashes.sealed("cells/abcd", {"record.json": b"{}", "predictions.safetensors": b"12"})
    assert hashes.opened(whole, "cells/abcd").keys() == {"record.json", "predictions.safetensors"}
    with pytest.raises(ValueError, match="is that of cells/abcd"):
        hashes.opened(whole, "cells/abce")
    for bit in range(8 * len(whole)):
        flipped = bytearray(whole)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises(ValueError, match="not what was written"):
            hashes.opened(bytes(flipped), "cells/abcd")
    for length in range(len(whole)):
        with pytest.raises(ValueError, match="not what was written"):
            hashes.opened(whole[:length], "cells/abcd")


@pytest.fixture
def small(tmp_path) -> Store:
    made = Store(tmp_path / "s")
    made.write("cells", "ab12", {"a.json": {"v": 1}, "b.json": {"v": 2}})
    return made


@pytest.mark.parametrize(
    ("name", "harm", "reason"),
    [
        ("b.json", Path.unlink, "b.json is missing"),
        ("a.json", Path.unlink, "a.json is missing"),
        (hashes.NAME, Path.unlink, "hashes.json is missing"),
        ("c.json", lambda path: path.write_text("{}"), "c.json does not belong there"),
        ("a.json", lambda path: path.write_bytes(b""), "a.json is not what was written"),
        ("a.json", lambda path: os.truncate(path, 5), "a.json is not what was written"),
        ("a.json", lambda path: path.write_text('{\n "v": 3\n}'), "a.json is not what was written"),
        (hashes.NAME, lambda path: path.write_bytes(b""), "hashes.json is not what was written"),
    ],
)
def test_what_is_missing_added_short_or_empty_is_damage(small, name, harm, reason):
    assert small.read_json("cells", "ab12", "a.json") == {"v": 1}
    harm(small.folder("cells", "ab12") / name)
    for look in (lambda: small.read_json("cells", "ab12", "a.json"), lambda: small.contents("cells", "ab12")):
        with pytest.raises(Damaged) as caught:
            look()
        assert str(caught.value) == f"cells/ab12: {reason}"
        # its own bytes, as a worker would send them to its parent
        assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def test_a_stage_under_another_key_is_damage_and_what_a_desktop_leaves_is_not(small):
    (small.folder("cells", "ab12") / ".DS_Store").write_text("x")
    (small.root / "cells" / ".DS_Store").write_text("x")
    assert small.keys("cells") == ["ab12"]
    assert small.contents("cells", "ab12")
    shutil.copytree(small.folder("cells", "ab12"), small.folder("cells", "ab34"))
    with pytest.raises(Damaged, match="is that of cells/ab12"):
        small.contents("cells", "ab34")


def test_what_is_replaced_between_two_reads_is_not_damage(tmp_path, monkeypatch):
    store = Store(tmp_path / "s")
    store.write("failures", "ab12", {"v.json": {"v": 1}})
    get, calls = files.get, []

    def replaced_after_its_first_file(path):
        content = get(path)
        calls.append(path)
        if len(calls) == 1:
            store.write("failures", "ab12", {"v.json": {"v": 2}})
        return content

    monkeypatch.setattr(files, "get", replaced_after_its_first_file)
    assert store.read_json("failures", "ab12", "v.json") == {"v": 2}


def test_damaged_records_are_left_out_and_reported_and_can_be_made_again(store, tmp_path):
    copy = Store(Path(shutil.copytree(store.root, tmp_path / "copy")))
    [cell], [failure] = copy.keys("cells"), copy.keys("failures")
    path = copy.folder("cells", cell) / "record.json"
    whole = path.read_text()
    path.write_text(whole.replace('"asr"', '"ASR"'))
    damaged: list[Damaged] = []
    assert [record.key for record in copy.records(damaged.append)] == [failure]
    assert [(error.section, error.key, error.name) for error in damaged] == [("cells", cell, "record.json")]
    with pytest.raises(Damaged):
        list(copy.records())
    copy.forget("cells", cell)
    assert copy.record(cell) is None
    copy.write("cells", cell, {"record.json": whole})
    assert copy.record(cell).status == "done"


def test_every_room_forgets(store, tmp_path):
    copy = Store(Path(shutil.copytree(store.root, tmp_path / "copy")))
    (copy.root / "tmp").rmdir()  # as some ways of copying leave it
    for section in SECTIONS:
        [key] = copy.keys(section)
        copy.forget(section, key)
        copy.forget(section, key)
        assert not copy.has(section, key)
    assert not list((copy.root / "tmp").iterdir())


class Hostile:
    """What a pickle can do to who reads it."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self):
        return os.mkdir, (str(self.target),)


@pytest.mark.parametrize("inside", [lambda hostile: hostile, lambda hostile: {"epochs": 1, "extra": hostile}])
@pytest.mark.parametrize("zipped", [True, False])
def test_a_checkpoint_runs_no_code(tmp_path, inside, zipped):
    store, target = Store(tmp_path / "s"), tmp_path / "made by the pickle"
    content = inside(Hostile(target))
    store.write("checkpoints", "abcd", {"state.pt": content if zipped else pickle.dumps(content)})
    with pytest.raises(pickle.UnpicklingError):
        store.state("checkpoints", "abcd", "state.pt", CPU)
    assert Checkpoint(store, "abcd").load(CPU) is None
    assert not target.exists()
    assert not store.has("checkpoints", "abcd")


def test_a_store_of_an_older_version_is_refused_in_one_line(tmp_path):
    (tmp_path / "store.json").write_text(json.dumps({"format": "defensebench store", "version": 1}))
    with pytest.raises(RequestError, match="made by an older version") as caught:
        Store(tmp_path)
    assert "\n" not in str(caught.value)


def test_every_single_bit_of_what_says_that_this_is_a_store_counts(tmp_path):
    marker = Store(tmp_path / "s").root / "store.json"
    whole = marker.read_bytes()
    for bit in range(8 * len(whole)):
        flipped = bytearray(whole)
        flipped[bit // 8] ^= 1 << bit % 8
        marker.write_bytes(flipped)
        with pytest.raises(RequestError, match="--store"):
            Store(tmp_path / "s")
    marker.write_bytes(whole)
    Store(tmp_path / "s", create=False)


def test_a_store_that_another_process_is_just_making_is_no_something_else(tmp_path):
    (tmp_path / "s" / "tmp").mkdir(parents=True)
    Store(tmp_path / "s").write("cells", "ab12", {"a.json": {}})
    assert Store(tmp_path / "s", create=False).keys("cells") == ["ab12"]


def limited(size: int, action) -> OSError:
    """The error of an action that may write no file above ``size`` bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))  # Python ignores the signal and gets EFBIG
    try:
        with pytest.raises(OSError) as caught:  # noqa: PT011 - the number is looked at below
            action()
        return caught.value
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_is_one_reason_with_a_path_and_leaves_nothing(tmp_path):
    store = Store(tmp_path / "s")
    content = {"stage.json": {"n": 1}, "model.safetensors": {"w": torch.zeros(50_000)}}
    error = limited(100_000, lambda: store.write("victims", "ab12", content))
    assert error.errno == errno.EFBIG
    assert str(store.folder("victims", "ab12") / "model.safetensors") in str(error)
    assert "\n" not in str(error)
    assert not store.has("victims", "ab12")
    assert not list((store.root / "tmp").iterdir())
    store.write("victims", "ab12", content)
    assert store.contents("victims", "ab12")


def test_a_disk_that_is_found_full_late_is_the_same(tmp_path, monkeypatch):
    store = Store(tmp_path / "s")
    store.write("checkpoints", "ab12", {"state.pt": {"epochs": 1}})

    def full(handle):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=r"No space left on device: '.*checkpoints/ab/ab12/state.pt'"):
        store.write("checkpoints", "ab12", {"state.pt": {"epochs": 2}})
    assert store.state("checkpoints", "ab12", "state.pt", CPU) == {"epochs": 1}
    assert not list((store.root / "tmp").iterdir())


def test_all_of_a_stage_is_on_the_disk_before_it_can_be_seen(tmp_path, monkeypatch):
    store, happened, rename = Store(tmp_path / "s"), [], Path.rename
    monkeypatch.setattr(os, "fsync", lambda handle: happened.append(Path(f"/proc/self/fd/{handle}").readlink()))
    monkeypatch.setattr(Path, "rename", lambda path, target: (happened.append("seen"), rename(path, target))[1])
    store.write("cells", "ab12", {"a.json": {}, "record.json": {}})
    at = happened.index("seen")
    assert [path.name for path in happened[:at]][:-1] == ["a.json", "record.json", hashes.NAME]
    assert happened[at - 1].parent == store.root / "tmp"
    assert happened[at + 1 :] == [store.root / "cells" / "ab", store.root / "cells", store.root]
    happened.clear()
    store.write("cells", "ab34", {"record.json": {}}, durable=False)
    assert happened == ["seen"]
