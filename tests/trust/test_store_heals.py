"""A victim with a forged file, whose hash is right, is made again before a cell is computed from it."""

import json

import forged
import pytest
import tiny
import torch

import bench
from bench.store import files
from bench.store.store import Store
from bench.store.verify import verify


def run(folder, defenses: str) -> bench.Results:
    plugin = [tiny.plugins(folder)]
    options = {**tiny.GRID, "attacks": "corner", "plugin": plugin, "executor": "inline"}
    return bench.run(defenses=defenses, store=folder / "store", **options)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("healed")
    run(made, "none")
    return made


def without_counts(content: bytes) -> bytes:
    return json.dumps({name: value for name, value in json.loads(content).items() if name != "n_test"}).encode()


def of_one_class(content: bytes) -> bytes:
    return files.encode("x.safetensors", {name: torch.zeros(1) for name in files.tensors(content)})


@pytest.mark.parametrize(
    ("name", "forge"),
    [
        ("stage.json", without_counts),
        ("predictions.safetensors", of_one_class),
        ("model.safetensors", of_one_class),
        ("model.safetensors", lambda content: b"no tensors"),
        ("learned.safetensors", lambda content: b"no tensors"),
    ],
)
def test_a_victim_with_a_forged_file_is_made_again(folder, name, forge):
    store = Store(folder / "store")
    [key] = store.keys("victims")
    path = store.folder("victims", key) / name
    path.write_bytes(forge(path.read_bytes()))
    forged.reseal(store, "victims", key)
    trained = tiny.log(folder)["corner[n=0]"]
    number = len(store.keys("cells"))
    results = run(folder, f"none,halve[n={number}]")
    assert {record.status for record in results.records} == {"done"}
    assert tiny.log(folder)["corner[n=0]"] == trained + 1
    assert not verify(store).damaged


@pytest.mark.parametrize("state", [{"seconds": 1.0}, {"epochs": "many", "model": {}}, {"model": [1], "optimizer": 3}])
def test_a_training_whose_checkpoint_does_not_fit_starts_anew(folder, state):
    store = Store(folder / "store")
    [key] = store.keys("victims")
    whole = store.contents("victims", key)
    store.forget("victims", key)
    store.write("checkpoints", key, {"state.pt": state})
    results = run(folder, f"none,halve[n={len(store.keys('cells'))}]")
    assert {record.status for record in results.records} == {"done"}
    assert store.contents("victims", key)["model.safetensors"] == whole["model.safetensors"]
    assert not store.count("checkpoints")
