"""What is stored is used only if it is what was written, to every bit and file."""

import os
import pickle
import random
import shutil
from pathlib import Path

import pytest
import tiny
import torch
from stores import AB12, AB34, ABCD, show

import bench
from bench.errors import Damaged
from bench.store import files, hashes
from bench.store.checkpoints import Checkpoint
from bench.store.store import SECTIONS, Store

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Store:
    """A stage of every section, as a run leaves them."""
    folder = tmp_path_factory.mktemp("small")
    bench.run(
        datasets="digits[train_size=200]",
        models="resnet18[width=4]",
        attacks="badnets",
        defenses="none,raises",
        reference=40,
        plugin=[tiny.PLUGIN_FOLDER / "raises.py"],
        store=folder / "store",
        executor="inline",
    )
    store = Store(folder / "store")
    momentum = {"state": {0: {"momentum": torch.rand(20)}}}
    Checkpoint(store, ABCD).save({"epochs": 1, "model": {"weight": torch.rand(50)}, "optimizer": momentum})
    show(store, store.keys("victims")[0], AB12)
    assert [store.count(section) for section in SECTIONS] == [1] * len(SECTIONS)
    return store


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


def test_each_of_200_flipped_bits_is_detected_when_its_file_is_read(store):
    every_artefact = artefacts(store)
    names = {name for _, _, name in every_artefact}
    assert names >= {"model.safetensors", "predictions.safetensors", "pictures.safetensors", "stage.json"}
    assert names >= {"record.json", "traceback.txt", "state.pt", hashes.NAME}
    for artefact in every_artefact:
        read(store, *artefact)
    draw, detected = random.Random(6), 0
    for trial in range(200):
        section, key, name = every_artefact[trial % len(every_artefact)]
        path = store.folder(section, key) / name
        whole = path.read_bytes()
        bit = draw.randrange(8 * len(whole))
        flipped = bytearray(whole)
        flipped[bit // 8] ^= 1 << bit % 8
        path.write_bytes(flipped)
        with pytest.raises(Damaged) as caught:
            read(store, section, key, name)
        detected += (caught.value.section, caught.value.key, caught.value.name) == (section, key, name)
        path.write_bytes(whole)
    assert detected == 200


def test_every_single_bit_of_a_manifest_counts():
    whole = hashes.seal(f"cells/{ABCD}", {"record.json": b"{}", "predictions.safetensors": b"12"})
    assert hashes.unseal(whole, f"cells/{ABCD}").keys() == {"record.json", "predictions.safetensors"}
    with pytest.raises(ValueError, match="is that of cells/abcd"):
        hashes.unseal(whole, "cells/abce")
    for bit in range(8 * len(whole)):
        flipped = bytearray(whole)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises(ValueError, match="not what was written"):
            hashes.unseal(bytes(flipped), f"cells/{ABCD}")
    for length in range(len(whole)):
        with pytest.raises(ValueError, match="not what was written"):
            hashes.unseal(whole[:length], f"cells/{ABCD}")


@pytest.fixture
def small(tmp_path) -> Store:
    made = Store(tmp_path / "s")
    made.write("cells", AB12, {"a.json": {"v": 1}, "b.json": {"v": 2}})
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
def test_a_missing_added_short_or_empty_file_is_damage(small, name, harm, reason):
    assert small.read_json("cells", AB12, "a.json") == {"v": 1}
    harm(small.folder("cells", AB12) / name)
    for look in (lambda: small.read_json("cells", AB12, "a.json"), lambda: small.contents("cells", AB12)):
        with pytest.raises(Damaged) as caught:
            look()
        assert str(caught.value) == f"cells/{AB12}: {reason}"
        # as a worker sends it to its parent
        assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def test_a_stage_under_another_key_is_damage_and_hidden_files_are_not(small):
    (small.folder("cells", AB12) / ".DS_Store").write_text("x")
    (small.root / "cells" / ".DS_Store").write_text("x")
    assert small.keys("cells") == [AB12]
    assert small.contents("cells", AB12)
    shutil.copytree(small.folder("cells", AB12), small.folder("cells", AB34))
    with pytest.raises(Damaged, match=f"is that of cells/{AB12}"):
        small.contents("cells", AB34)


def test_a_stage_that_is_replaced_between_two_reads_is_not_damaged(tmp_path, monkeypatch):
    store = Store(tmp_path / "s")
    store.write("failures", AB12, {"v.json": {"v": 1}})
    original, calls = files.read, []

    def replaced_after_its_first_file(path):
        content = original(path)
        calls.append(path)
        if len(calls) == 1:
            store.write("failures", AB12, {"v.json": {"v": 2}})
        return content

    monkeypatch.setattr(files, "read", replaced_after_its_first_file)
    assert store.read_json("failures", AB12, "v.json") == {"v": 2}


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


def test_a_stage_of_every_section_can_be_removed(store, tmp_path):
    copy = Store(Path(shutil.copytree(store.root, tmp_path / "copy")))
    (copy.root / "tmp").rmdir()  # as some ways of copying leave it
    for section in SECTIONS:
        [key] = copy.keys(section)
        copy.forget(section, key)
        copy.forget(section, key)
        assert not copy.has(section, key)
    assert not list((copy.root / "tmp").iterdir())
