"""Victims made elsewhere in the cross-product: what is reported of them, and what defenses are given."""

import csv
import json
import shutil
from pathlib import Path

import elsewhere
import numpy as np
import pytest
import torch
from safetensors import safe_open
from stores import bench as command

import bench
from bench.api import open_registry
from bench.checkpoint.preprocessing import Preprocessing
from bench.imported import backdoorbench
from bench.store.store import Store

SQUARES = Path(__file__).parents[1] / "plugins" / "squares.py"
MEAN, STD = (0.45, 0.5, 0.55), (0.24, 0.26, 0.28)  # others than the data set's own
ASKED = {"plugin": [SQUARES], "reference": 16, "suspects": 4, "executor": "inline"}


@pytest.fixture(scope="module")
def splits():
    return open_registry([SQUARES]).create("dataset", "squares", {}).splits(Path())


@pytest.fixture(scope="module")
def net(splits):
    images = torch.cat([splits.test.images, elsewhere.triggered(splits.test.images)]).float() / 255
    return elsewhere.network((images - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1))


@pytest.fixture(autouse=True, scope="module")
def known():
    """What BackdoorBench would do with these names."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(backdoorbench.NORMALISATION, "squares", Preprocessing(MEAN, STD))
        patch.setitem(backdoorbench.MODELS, elsewhere.NAME, "small")
        yield


@pytest.fixture(scope="module")
def run(tmp_path_factory, splits, net):
    """A victim of BackdoorBench against defenses of each knowledge: its file, its records by defense, the store."""
    folder = tmp_path_factory.mktemp("record") / "badnet_0_1"
    file = elsewhere.attack_result(folder, splits, net)
    store = folder.parent / "store"
    results = bench.run(victims=[file], defenses="none,clp,fire,retrain", store=store, **ASKED)
    return file, {record.defense: record for record in results.records}, Store(store)


def test_acc_and_asr_are_those_that_its_makers_report(run, splits, net):
    file, records, _ = run
    acc, asr = elsewhere.reported(net, file.parent, splits, MEAN, STD)
    assert 0 < asr < 1
    assert records["none"].status == "done", records["none"].reason
    assert (records["none"].acc, records["none"].asr) == (acc, asr)
    assert records["none"].n_triggered == int((splits.test.labels != elsewhere.TARGET).sum())
    assert json.loads(records["none"].targets) == [elsewhere.TARGET]


def test_every_defense_runs_on_it_and_its_row_has_the_name_of_its_folder(run):
    _, records, store = run
    assert {record.attack_label for record in records.values()} == {"badnet_0_1"}
    assert [records[name].status for name in ("none", "clp", "fire")] == ["done"] * 3
    assert records["clp"].knowledge == "nothing"
    assert records["fire"].knowledge == "16 clean + 4 suspected"
    assert (records["retrain"].status, "made elsewhere" in records["retrain"].reason) == ("not-applicable", True)
    made = store.facts(records["none"].victim_key).made_of
    assert (made.images.mean, made.images.order) == (list(MEAN), "rgb")


def test_a_second_run_computes_nothing_and_does_not_need_another_folder(run, splits, tmp_path, monkeypatch):
    file, records, store = run
    monkeypatch.setattr("bench.engine.worker.make_stage", lambda *stage: pytest.fail("computed again"))
    moved = shutil.copytree(file.parent, tmp_path / "badnet_0_1") / file.name
    again = bench.run(victims=[moved], defenses="none,clp,fire,retrain", store=store.root, **ASKED)
    assert [record.key for record in again.records] == [record.key for record in records.values()]


def test_the_key_follows_from_the_weights_and_from_every_picture(run, tmp_path, splits, net):
    from bench.imported.read import read

    file, _, _ = run
    first = read(file).digest
    copy = shutil.copytree(file.parent, tmp_path / "other") / file.name
    assert read(copy).digest == first
    picture = next((copy.parent / "bd_train_dataset").rglob("*.png"))
    picture.write_bytes(next((copy.parent / "bd_test_dataset").rglob("*.png")).read_bytes())
    assert read(copy).digest != first


def test_without_poisoned_training_images_suspects_are_not_applicable(tmp_path, splits, net):
    file = elsewhere.attack_result(tmp_path / "x", splits, net, poisoned=0)
    [record] = bench.run(victims=[file], defenses="fire", store=tmp_path / "store", **ASKED).records
    assert record.status == "not-applicable"
    assert "no poisoned training images" in record.reason
    assert not Store(tmp_path / "store").count("victims")


def test_suspects_are_poisoned_training_images_of_the_file_and_no_reference_image_is_one_of_them(run, splits):
    from bench.cell import reference
    from bench.cell.loaded import LoadedVictim
    from bench.cell.workshop import Workshop
    from bench.plan.plan import make_plan
    from bench.plan.request import Request

    file, records, store = run
    registry = open_registry([SQUARES])
    asked = {"victims": [file], "defenses": "fire", "reference": 16, "suspects": 6, "suspects_purity": 0.5}
    [cell] = make_plan(Request.read({**asked, "plugin": [SQUARES]}), registry, Path()).cells
    assert cell.victim.key == records["fire"].victim_key
    victim = LoadedVictim.read(cell.victim, Workshop(registry, store, Path(), torch.device("cpu")))
    known = reference.known(cell, victim)
    poisoned = (splits.train.labels != elsewhere.TARGET).nonzero()[:12, 0]
    given = known.suspects.mul(255).round().to(torch.uint8)

    def among(images, others):
        return (images[:, None] == others[None]).flatten(2).all(2)

    assert among(given, elsewhere.triggered(splits.train.images[poisoned])).any(1).sum() == 3
    originals = among(given, splits.train.images[poisoned]).any(1)
    assert originals.sum() == 3  # the others are clean, of the same images' classes
    assert not among(given, known.clean.images).any()


def own_form(folder: Path, splits, net, form: str) -> Path:
    """The same victim in our own form."""
    others = (splits.test.labels != elsewhere.TARGET).nonzero()[:, 0]
    images = elsewhere.triggered(splits.test.images[others])
    folder.mkdir(exist_ok=True)
    torch.save({"state_dict": net.state_dict()}, folder / "net.pth")
    lines = {"checkpoint": "net.pth", "model": "small", "dataset": "squares"}
    lines |= {"triggered": "images", "target_class": elsewhere.TARGET, "label": "our own", "mean": MEAN, "std": STD}
    if form == "npz":
        lines["triggered"] = "images.npz"
        np.savez(folder / "images.npz", images=images.permute(0, 2, 3, 1).numpy(), index=others.numpy())
    else:
        elsewhere.save_pictures(images, others.tolist(), [0] * len(others), folder / "pictures")
        (folder / "pictures" / "0").rename(folder / "images")
    if form == "table":
        with (folder / "images" / "images.csv").open("w", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(["file", "index", "original_label"])
            rows.writerows([f"{index}.png", index, int(splits.test.labels[index])] for index in others.tolist())
    (folder / "victim.toml").write_text("".join(f"{name} = {json.dumps(value)}\n" for name, value in lines.items()))
    return folder / "victim.toml"


@pytest.mark.parametrize("form", ["table", "names", "npz"])
def test_our_own_form_says_the_same(run, splits, net, tmp_path, form):
    _, records, _ = run
    file = own_form(tmp_path / form, splits, net, form)
    [record] = bench.run(victims=[file], defenses="none", store=tmp_path / "store", **ASKED).records
    assert record.status == "done", record.reason
    assert (record.acc, record.asr, record.ra) == tuple(getattr(records["none"], name) for name in ("acc", "asr", "ra"))
    assert record.attack_label == "our_own"


class Evil:
    def __reduce__(self):
        return print, ("executed",)


WRONG = {
    "code": ({"bd_train": Evil()}, "would run code"),
    "layout": ({"bd_test": {"x": torch.zeros(2)}}, "is not laid out as BackdoorBench 2 does"),
    "model": ({"model_name": "preactresnet18"}, "does not fit preact_resnet18"),
    "unknown model": ({"model_name": "resnet_of_mine"}, "unknown architecture name=resnet_of_mine"),
    "data": ({"clean_data": "celeba"}, "celeba"),
    "classes": ({"num_classes": 10}, "has 10 classes, squares 4"),
    "size": ({"img_size": [64, 64, 3]}, "64x64 pixels, those of squares 16x16"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_does_not_fit_is_refused_in_one_line_before_anything_is_written(tmp_path, splits, net, capsys, name):
    changes, expected = WRONG[name]
    file = elsewhere.attack_result(tmp_path / "x", splits, net, **changes)
    where = ["--victims", file, "--plugin", SQUARES, "--defenses", "none", "--store", tmp_path / "store"]
    status, out, err = command(capsys, "run", *where)
    assert (status, out, err.count("\n")) == (2, "", 1), err
    assert expected in err
    assert not (tmp_path / "store").exists()


def test_a_network_alone_and_a_validation_part_are_refused(tmp_path, splits, net, capsys):
    torch.save(net.state_dict(), tmp_path / "net.pt")
    status, _, err = command(capsys, "plan", "--victims", tmp_path / "net.pt", "--defenses", "none")
    assert (status, err.count("\n")) == (2, 1)
    assert "holds a network and no triggered images" in err
    file = elsewhere.attack_result(tmp_path / "x", splits, net)
    options = ["--victims", file, "--plugin", SQUARES, "--evaluate", "validation", "--defenses", "none"]
    assert "expected test with --victims" in command(capsys, "plan", *options)[2]


def test_triggered_images_of_another_data_set_fail_with_one_line(tmp_path, splits, net):
    file = elsewhere.attack_result(tmp_path / "x", splits, net)
    content = torch.load(file, weights_only=False)
    entries = content["bd_test"]["bd_data_container"]["data_dict"]
    entries[next(iter(entries))]["other_info"][1] = 3 - entries[next(iter(entries))]["other_info"][1]
    torch.save(content, file)
    [record] = bench.run(victims=[file], defenses="none", store=tmp_path / "store", **ASKED).records
    assert record.status == "failed"
    assert "expected triggered images of this data set, in its order" in record.reason


def test_its_attacks_name_does_not_meet_that_of_another(tmp_path, splits, net):
    file = elsewhere.attack_result(tmp_path / "badnets", splits, net)
    options = {"datasets": "squares", "models": "small", "attacks": "badnets", "defenses": "none"}
    from bench.plan.plan import make_plan
    from bench.plan.request import Request

    request = Request.read({**options, "victims": [file], "plugin": [SQUARES], "reference": 16})
    labels = [cell.victim.attack.label for cell in make_plan(request, open_registry([SQUARES]), tmp_path).cells]
    assert labels[0] == "badnets"
    assert labels[1].startswith("badnets.")


def test_a_study_names_victims_relative_to_itself(tmp_path, splits, net, capsys):
    elsewhere.attack_result(tmp_path / "badnet", splits, net)
    study = tmp_path / "study.toml"
    study.write_text(f'victims = "badnet/attack_result.pt"\nplugin = "{SQUARES}"\ndefenses = "none"\nreference = 8\n')
    status, out, _ = command(capsys, "plan", study, "--store", tmp_path / "store")
    assert status == 0
    assert "badnet" in out
    assert "1 of 1 victims from elsewhere to read" in out
    assert "to train" not in out


def test_its_network_can_be_exported_and_comes_back_by_our_own_form(run, splits, net, tmp_path, capsys):
    _, records, store = run
    out, options = tmp_path / "net.safetensors", ["--plugin", SQUARES, "--store", store.root]
    key = records["none"].victim_key
    assert command(capsys, "export", key, "--out", out, *options)[0] == 0
    with safe_open(out, "pt") as file:
        assert file.metadata()["input"].endswith("the network normalises them itself")
        assert torch.equal(file.get_tensor("mean").flatten(), torch.tensor(MEAN))
    file = own_form(tmp_path / "again", splits, net, "npz")
    (file.parent / "net.pth").unlink()
    lines = file.read_text().replace("net.pth", str(out)).splitlines(keepends=True)
    file.write_text("".join(line for line in lines if not line.startswith(("mean", "std"))))  # the file has its own
    [record] = bench.run(victims=[file], defenses="none", store=tmp_path / "store", **ASKED).records
    assert record.reason is None
    assert (record.acc, record.asr) == (records["none"].acc, records["none"].asr)
    status, _, err = command(capsys, "export", key, "--poisoned", tmp_path / "poisoned", *options)
    assert (status, err.count("\n")) == (2, 1)
    assert "made elsewhere" in err
