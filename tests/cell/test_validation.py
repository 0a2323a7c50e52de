"""The validation part: the same in every run, apart from all that is trained on, and in place of the test images."""

import shutil
from pathlib import Path

import pytest
import tiny
import torch

import bench
from bench.cell import validation
from bench.cell.loaded import LoadedVictim
from bench.cell.reference import known
from bench.cell.validation import validation_splits
from bench.cell.validity import judged
from bench.cell.workshop import Workshop
from bench.datasets.digits import Digits
from bench.errors import RequestError
from bench.plan.plan import make_plan
from bench.plan.registry import Registry
from bench.plan.request import Request
from bench.plugin import LabelledImages, mapped
from bench.plugin.values import Splits
from bench.store.store import Store

CPU = torch.device("cpu")
WHOLE = Digits().splits(Path())
HELD_OUT = round(len(WHOLE.train) / 10)


def as_bytes(data: LabelledImages) -> list[bytes]:
    return [image.numpy().tobytes() for image in data.images]


def test_a_tenth_is_held_out_and_the_rest_is_left_to_train_on():
    splits = validation_splits(Digits(), Path(), CPU)
    trained, held_out = as_bytes(splits.train), as_bytes(splits.test)
    assert len(held_out) == HELD_OUT
    assert sorted(trained + held_out) == sorted(as_bytes(WHOLE.train))
    assert not set(held_out) & set(as_bytes(WHOLE.test))
    kept = set(trained)
    assert trained == [image for image in as_bytes(WHOLE.train) if image in kept]  # in the data set's own order
    counts = splits.test.labels.bincount(minlength=10)
    assert counts.max() - counts.min() <= 2
    labels = dict(zip(as_bytes(WHOLE.train), WHOLE.train.labels.tolist(), strict=True))
    for part in (splits.train, splits.test):
        assert [labels[image] for image in as_bytes(part)] == part.labels.tolist()


@pytest.mark.parametrize("size", [1, 100, 1000])
def test_it_is_the_same_whatever_train_size_is_and_never_overlaps_with_it(size):
    splits = validation_splits(Digits(train_size=size), Path(), CPU)
    assert as_bytes(splits.test) == as_bytes(validation_splits(Digits(), Path(), CPU).test)
    assert as_bytes(splits.train) == as_bytes(Digits(train_size=size).splits(Path()).train)
    assert not set(as_bytes(splits.train)) & set(as_bytes(splits.test))


def test_more_than_is_left_is_refused():
    most = len(WHOLE.train) - HELD_OUT
    assert len(validation_splits(Digits(train_size=most), Path(), CPU).train) == most
    with pytest.raises(RequestError, match=f"train_size={most + 1}: expected at most {most}, the training images"):
        validation_splits(Digits(train_size=most + 1), Path(), CPU)


def test_a_data_set_of_one_image_has_no_validation_part(monkeypatch):
    monkeypatch.setattr(Digits, "load", lambda self, folder: Splits(WHOLE.train.at(torch.arange(1)), WHOLE.test))
    with pytest.raises(RequestError, match=r"^digits: 1 training images: expected 2 or more with a validation part$"):
        validation_splits(Digits(), Path(), CPU)


@pytest.mark.parametrize("train_size", [None, 500])
def test_images_in_a_file_are_taken_to_a_file_and_not_to_memory(train_size, tmp_path, monkeypatch):
    import numpy as np

    array = np.memmap(tmp_path / "images", np.uint8, "w+", shape=tuple(WHOLE.train.images.shape))
    array[:] = WHOLE.train.images.numpy()
    array.flush()
    in_file = mapped.tensor_of(np.memmap(tmp_path / "images", np.uint8, "c", shape=array.shape))
    loaded = Splits(LabelledImages(in_file, WHOLE.train.labels), WHOLE.test)
    expected = validation_splits(Digits(train_size=train_size), Path(), CPU)
    monkeypatch.setattr(Digits, "load", lambda self, folder: loaded)
    monkeypatch.setattr("bench.cell.scratch.LARGE", 0)
    monkeypatch.setattr(validation, "AT_ONCE", 99)  # several parts, the last of another size
    splits = validation_splits(Digits(train_size=train_size), Path(), CPU)
    for part, same in ((splits.train, expected.train), (splits.test, expected.test)):
        assert mapped.in_a_file(part.images)
        assert torch.equal(part.images, same.images)
        assert torch.equal(part.labels, same.labels)
    assert not mapped.in_a_file(expected.train.images)


def test_a_stage_never_holds_a_test_image_nor_trains_or_is_given_one_that_is_evaluated(tmp_path):
    asked = {"datasets": "digits", "models": "resnet18[width=4]", "attacks": "badnets", "defenses": "fire"}
    [cell] = make_plan(Request.read({**asked, "evaluate": "validation"}), Registry(), Path()).cells
    shop = Workshop(Registry(), Store(tmp_path / "store"), Path(), CPU)
    shop.splits(cell.victim.dataset)  # what the stage before it used
    victim = LoadedVictim.open(cell.victim, shop)
    given = known(cell, victim)
    part = set(as_bytes(validation_splits(Digits(), Path(), CPU).test))
    assert set(as_bytes(victim.test)) == set(as_bytes(victim.test_set().originals)) == part
    assert not part & set(as_bytes(victim.train))
    assert set(as_bytes(given.clean)) <= set(as_bytes(victim.train))
    held = [data for splits in shop._splits.values() for data in (splits.train, splits.test)]
    assert not set(as_bytes(WHOLE.test)) & {image for data in held for image in as_bytes(data)}


def test_a_run_on_the_validation_part_fills_records_that_say_so(tmp_path, monkeypatch):
    """Also of a foreign data set, which knows nothing of it; figures of test images stand beside them in the store."""
    options = {**tiny.GRID, "plugin": [tiny.plugins(tmp_path)], "store": tmp_path / "store", "executor": "inline"}
    options |= {"attacks": "none,corner", "defenses": "none,halve"}
    tested = bench.run(**options).frame
    validated = bench.run(**options, evaluate="validation").frame
    assert set(validated["status"]) == {"done"}
    assert set(validated["evaluated_on"]) == {"validation"}
    assert set(tested["evaluated_on"]) == {"test"}
    assert (set(validated["n_train"]), set(validated["n_test"])) == ({54}, {6})  # of 60
    assert (set(tested["n_train"]), set(tested["n_test"])) == ({60}, {20})
    assert not set(tested["victim_key"]) & set(validated["victim_key"])
    stored = Store(tmp_path / "store").tensors("victims", validated["victim_key"][0], "predictions.safetensors")
    assert len(stored["labels"]) == 6


def test_a_victim_is_judged_against_the_benign_one_of_the_same_images(grid, tmp_path):
    """Its ACC on the validation part says nothing of an ACC on the test images."""
    root = shutil.copytree(grid[1].root, tmp_path / "store")
    records = list(Store(root).records())
    benign = [record for record in records if record.attack == "none"]
    attacked = [record.model_copy(update={"acc_benign": float("nan")}) for record in records if record.attack != "none"]
    elsewhere = [record.model_copy(update={"evaluated_on": "validation"}) for record in benign]
    assert all(one.acc_benign == benign[0].acc_before for one in judged(attacked, benign))
    assert all(one.acc_benign != one.acc_benign for one in judged(attacked, elsewhere))
