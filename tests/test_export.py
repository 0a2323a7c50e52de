"""``bench export``: a stored network as a file, with its provenance, and the images that a victim was trained on."""

import csv
import json

import numpy as np
import pytest
import tiny
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file
from stores import bench as command

import bench
from bench.api import open_registry
from bench.cell.backdoors import poison
from bench.plan.plan import make_plan
from bench.plan.request import Request
from bench.store.store import Store

COVERED = """
from typing import ClassVar

from bench import Attack
from bench.plugin import stamp

class Covered(Attack):
    \"\"\"A bright corner, on cover images too.\"\"\"
    name: ClassVar = "covered"
    def trigger(self, images, context):
        images[..., -1, -1] = 1
        return images
    def poison(self, train, context):
        chosen = self.draw(train, context)
        poisoned, cover = chosen[:-2], chosen[-2:]
        images = [self.trigger(train.at(part).floats, context) for part in (poisoned, cover)]
        return stamp(train, poisoned, images[0], self.target(train.labels[poisoned]), cover, images[1])
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The arguments of the command, the store, and its records by attack and defense."""
    folder = tmp_path_factory.mktemp("export")
    (folder / "covered.py").write_text(COVERED)
    plugins = [tiny.plugins(folder), folder / "covered.py"]
    asked = {**tiny.GRID, "attacks": "covered,none", "defenses": "none,halve", "plugin": plugins}
    results = bench.run(**asked, store=folder / "store", executor="inline", keep_networks=True)
    assert results.ok
    options = [word for file in plugins for word in ("--plugin", file)] + ["--store", folder / "store"]
    return options, Store(folder / "store"), {(one.attack, one.defense): one for one in results.records}


def said(path):
    with safe_open(path, "pt") as file:
        return file.metadata()


def refused(capsys, made, *arguments):
    """The one line of a request that is wrong."""
    status, out, err = command(capsys, "export", *arguments, *made[0])
    assert (status, out, err.count("\n")) == (2, "", 1), err
    return err


def test_a_repaired_network_is_written_with_its_provenance(made, tmp_path, capsys):
    options, store, records = made
    record, out = records["covered", "halve"], tmp_path / "net.safetensors"
    assert command(capsys, "export", record.key[:10], "--out", out, *options) == (0, f"{out}\n", "")
    kept = store.tensors("cells", record.key, "network.safetensors")
    written = load_file(out)
    assert set(written) == set(kept)
    assert all(torch.equal(value, written[name]) for name, value in kept.items())
    about = said(out)
    assert (about["dataset"], about["model"], about["attack"], about["defense"]) == (
        "dots",
        "linear",
        "covered",
        "halve",
    )
    assert json.loads(about["attack_parameters"])["poisoning_rate"] == 0.1
    assert (about["key"], about["victim_key"]) == (record.key, record.victim_key)
    assert about["code_version"] == bench.__version__
    assert float(about["acc"]) == record.acc
    assert "asr" in about
    assert [path.name for path in tmp_path.iterdir()] == ["net.safetensors"]


@pytest.mark.parametrize("by", ["cell", "victim"])
def test_the_victims_network_by_its_key_or_by_that_of_a_cell(made, tmp_path, capsys, by):
    options, store, records = made
    record, out = records["covered", "halve"], tmp_path / "net.safetensors"
    arguments = [record.key, "--victim"] if by == "cell" else [record.victim_key]
    assert command(capsys, "export", *arguments, "--out", out, *options)[0] == 0
    stored = store.tensors("victims", record.victim_key, "model.safetensors")
    assert all(torch.equal(value, stored[name]) for name, value in load_file(out).items())
    assert said(out)["key"] == record.victim_key
    assert "defense" not in said(out)


def test_nothing_is_overwritten_and_what_cannot_be_exported_is_said_in_one_line(made, tmp_path, capsys):
    _, _, records = made
    record, there = records["covered", "halve"], tmp_path / "there.safetensors"
    there.write_bytes(b"mine")
    assert "nothing is overwritten" in refused(capsys, made, record.key, "--out", there)
    assert there.read_bytes() == b"mine"
    assert "ends in .safetensors or .onnx" in refused(capsys, made, record.key, "--out", tmp_path / "net.pt")
    assert "is no directory" in refused(capsys, made, record.key, "--out", tmp_path / "no" / "net.safetensors")
    assert "0 begin so" in refused(capsys, made, "f" * 32, "--out", tmp_path / "net.safetensors")
    assert "hexadecimal" in refused(capsys, made, "halve", "--out", tmp_path / "net.safetensors")
    assert "--poisoned DIR or both" in refused(capsys, made, record.key)
    control = records["covered", "none"]
    line = refused(capsys, made, control.key, "--out", tmp_path / "net.safetensors")
    assert "--keep-networks" in line
    assert "--victim" in line
    assert "not empty" in refused(capsys, made, record.key, "--poisoned", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["there.safetensors"]


def test_without_its_packages_onnx_is_refused_by_their_names(made, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("bench.export.networks.find_spec", lambda name: None)
    line = refused(capsys, made, made[2]["covered", "halve"].key, "--out", tmp_path / "net.onnx")
    assert "needs the package onnx: pip install onnx onnxscript" in line


def test_an_onnx_file_gives_the_networks_answers(made, tmp_path, capsys):
    onnx, _ = pytest.importorskip("onnx"), pytest.importorskip("onnxscript")
    from onnx.reference import ReferenceEvaluator

    options, store, records = made
    record, out = records["covered", "halve"], tmp_path / "net.onnx"
    assert command(capsys, "export", record.key, "--out", out, *options) == (0, f"{out}\n", "")
    images = np.random.default_rng(0).random((3, 1, 6, 6), np.float32)
    kept = store.tensors("cells", record.key, "network.safetensors")
    expected = images.reshape(3, 36) @ kept["1.weight"].numpy().T + kept["1.bias"].numpy()
    model = onnx.load(out)
    [logits] = ReferenceEvaluator(model).run(None, {"images": images})
    assert np.abs(logits - expected).max() < 1e-5
    assert {one.key: one.value for one in model.metadata_props}["attack"] == "covered"


def test_the_poisoned_images_are_those_that_the_victim_was_trained_on(made, tmp_path, capsys):
    options, _, records = made
    record, folder = records["covered", "halve"], tmp_path / "poisoned"
    assert command(capsys, "export", record.key, "--poisoned", folder, *options) == (0, f"{folder}: 6 images\n", "")
    rows = list(csv.DictReader((folder / "images.csv").open()))
    assert [sum(int(row[name]) for row in rows) for name in ("poisoned", "cover")] == [4, 2]
    registry = open_registry(options[1:4:2])
    clean = registry.create("dataset", "dots", {}).splits(tmp_path).train
    for row in rows:
        index = int(row["index"])
        picture = torch.from_numpy(np.array(Image.open(folder / row["file"])))
        changed = clean.images[index, 0].clone()
        changed[-1, -1] = 255
        assert torch.equal(picture, changed)
        assert int(row["original_label"]) == clean.labels[index]
        assert int(row["label"]) == (0 if int(row["poisoned"]) else clean.labels[index])
    assert json.loads((folder / "about.json").read_text())["victim_key"] == record.victim_key
    assert {path.name for path in folder.iterdir()} == {row["file"] for row in rows} | {"images.csv", "about.json"}


def test_images_that_would_not_be_those_of_the_training_are_not_written(made, tmp_path, capsys, monkeypatch):
    _, _, records = made
    record, folder = records["covered", "halve"], tmp_path / "poisoned"

    def other(attack, train, context):
        poisoned = poison(attack, train, context)
        poisoned.data.images[poisoned.poisoned, :, 0, 0] ^= 1
        return poisoned

    monkeypatch.setattr("bench.cell.backdoors.poison", other)
    assert "are not those of the victim" in refused(capsys, made, record.key, "--poisoned", folder)
    benign = refused(capsys, made, records["none", "halve"].key, "--poisoned", folder)
    assert "none has changed no training image" in benign
    assert not list(tmp_path.iterdir())


def test_of_a_network_and_pictures_neither_is_written_if_one_is_refused(made, tmp_path, capsys):
    records = made[2]
    both = ["--out", tmp_path / "net.safetensors", "--poisoned", tmp_path / "poisoned"]
    assert "nothing to write" in refused(capsys, made, records["none", "halve"].key, *both)
    assert "no network of none is kept" in refused(capsys, made, records["covered", "none"].key, *both)
    assert list(tmp_path.iterdir()) == []


def test_a_victims_folder_says_in_words_what_it_is(made):
    _, store, records = made
    key = records["covered", "halve"].victim_key
    facts = store.read_json("victims", key, "stage.json")["made_of"]
    assert facts["title"] == "victim dots linear covered seed 0"
    assert facts["attack"]["parameters"]["target_class"] == 0
    assert facts["recipe"]["parameters"]["epochs"] == 15
    assert facts["images"] == {"channels": 1, "height": 6, "width": 6, "classes": 4, "mean": [0.5], "std": [0.25]}


def test_a_store_made_before_is_exported_by_what_its_records_say(made, tmp_path, capsys):
    options, original, records = made
    record, store = records["covered", "halve"], Store(tmp_path / "old")
    for section, key in (("victims", record.victim_key), ("cells", record.key)):
        store.write(section, key, original.contents(section, key))
    facts = store.read_json("victims", record.victim_key, "stage.json")
    old = {name: value for name, value in facts.items() if name not in ("made_of", "training_sha256")}
    content = store.contents("victims", record.victim_key)
    store.write("victims", record.victim_key, {**content, "stage.json": old}, replace=True)
    where = [*options[:-1], store.root]
    assert command(capsys, "export", record.victim_key, "--out", tmp_path / "net.safetensors", *where)[0] == 0
    assert said(tmp_path / "net.safetensors")["attack"] == "covered"
    status, out, _ = command(capsys, "export", record.victim_key, "--poisoned", tmp_path / "poisoned", *where)
    assert (status, out) == (0, f"{tmp_path / 'poisoned'}: 6 images\n")
    [cell] = make_plan(
        Request.read({**tiny.GRID, "attacks": "covered", "defenses": "halve", "plugin": options[1:4:2]}),
        open_registry(options[1:4:2]),
        tmp_path,
    ).cells
    assert cell.key == record.key  # neither file is part of a key
