"""Pictures of one's own: how a directory is split into classes and splits, and what is reported about a bad one."""

import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from dataset_files import colours, decoded_entries
from PIL import Image

from bench.datasets import _pictures
from bench.datasets.image_folder import ImageFolder
from bench.errors import RequestError


def test_one_folder_for_each_class_is_split_in_a_fixed_stratified_way(pets, tmp_path):
    dataset = ImageFolder(path=str(pets), size=8)
    assert dataset.spec.shape == (3, 8, 8)
    assert dataset.spec.classes == 3
    assert dataset.training_images(tmp_path) == 20
    splits = dataset.splits(tmp_path)
    assert splits.train.labels.bincount().tolist() == [8, 8, 4]
    assert splits.test.labels.bincount().tolist() == [2, 2, 1]
    assert {red for red, _ in colours(splits.test)} == {0, 80, 160}
    assert all(red == 80 * label for (red, _), label in zip(colours(splits.train), splits.train.labels, strict=True))
    assert len(set(colours(splits.train)) | set(colours(splits.test))) == 25
    again = ImageFolder(path=str(pets), size=8).splits(tmp_path / "elsewhere")
    assert torch.equal(splits.test.images, again.test.images)
    half = ImageFolder(path=str(pets), size=8, test_share=0.4).splits(tmp_path)
    assert half.test.labels.bincount().tolist() == [4, 4, 2]
    with pytest.raises(RequestError, match="train_size=21: expected at most 20"):
        ImageFolder(path=str(pets), size=8, train_size=21).prepare(tmp_path)


@pytest.mark.parametrize("second", ["test", "val"])
def test_a_given_test_split_is_taken(pets, tmp_path, second):
    for name in ("cat", "dog", "owl"):
        for number in range(2):
            target = pets / second / name / f"{number}.png"
            target.parent.mkdir(parents=True, exist_ok=True)
            (pets / name / f"{number}.png").rename(target)
        (pets / "train").mkdir(exist_ok=True)
        (pets / name).rename(pets / "train" / name)
    splits = ImageFolder(path=str(pets), size=8).splits(tmp_path)
    assert splits.train.labels.tolist() == [0] * 8 + [1] * 8 + [2] * 3
    assert colours(splits.test) == [(80 * label, 20 * number) for label in range(3) for number in range(2)]
    assert splits.test.labels.tolist() == [0, 0, 1, 1, 2, 2]
    (pets / second / "emu").mkdir()
    with pytest.raises(RequestError, match=f"{second}/emu: there is no train/emu"):
        ImageFolder(path=str(pets), size=8).prepare(tmp_path)


def test_a_worker_makes_the_same_data_set_from_its_parameters(pets, tmp_path, monkeypatch):
    monkeypatch.chdir(pets.parent)
    planned = ImageFolder(path="pets", size=8)
    assert planned.path == str(pets)
    made = ImageFolder(**planned.model_dump(mode="json"))
    assert made == planned
    (pets / "cat" / "3.png").write_bytes((pets / "dog" / "3.png").read_bytes())
    assert ImageFolder(path="pets", size=8).contents != planned.contents  # another key: no stale result
    with pytest.raises(RequestError, match="its pictures have changed since this run was planned"):
        made.splits(tmp_path)


def test_pictures_that_change_while_they_are_decoded_are_not_used(pets, tmp_path, monkeypatch):
    dataset, square = ImageFolder(path=str(pets), size=8), _pictures.square

    def change(file, *args, **options):
        whole = tmp_path / f"{threading.get_ident()}.png"  # several threads decode, and none may see half a file
        Image.new("RGB", (40, 20)).save(whole)
        whole.replace(pets / "cat" / "3.png")
        return square(file, *args, **options)

    with monkeypatch.context() as patched:
        patched.setattr(_pictures, "square", change)
        with pytest.raises(RequestError, match="its pictures have changed since this run was planned"):
            dataset.prepare(tmp_path)
    assert decoded_entries(tmp_path) == []


def _only(pets: Path, *names: str) -> None:
    for room in pets.iterdir():
        if room.is_dir() and room.name not in names:
            for file in room.iterdir():
                file.unlink()
            room.rmdir()


def _one_class(pets: Path) -> None:
    _only(pets, "cat")


def _no_class(pets: Path) -> None:
    _only(pets)


def _no_test(pets: Path) -> None:
    (pets / "train").mkdir()
    for name in ("cat", "dog"):
        (pets / name).rename(pets / "train" / name)


def _unreadable(pets: Path) -> None:
    (pets / "dog" / "3.png").write_text("not a picture")


def _truncated(pets: Path) -> None:
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (50, 50, 3), np.uint8)).save(pets / "dog" / "4.png")
    content = (pets / "dog" / "4.png").read_bytes()
    (pets / "dog" / "4.png").write_bytes(content[: len(content) // 2])


def _dangling(pets: Path) -> None:
    (pets / "dog" / "link.png").symlink_to(pets / "gone.png")


def _empty_class(pets: Path) -> None:
    (pets / "emu").mkdir()


def _gone(pets: Path) -> None:
    pets.rename(pets.parent / "moved")


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        (_one_class, "each of two or more classes, found cat"),
        (_no_class, "each of two or more classes, found none"),
        (_no_test, r"no test split: expected test/ or val/ beside train/"),
        (_unreadable, r"dog/3.png: cannot be read as a picture"),
        (_truncated, r"dog/4.png: cannot be read as a picture"),
        (_dangling, r"pets: not whole: dog/link.png is missing"),
        (_empty_class, r"pets/emu: holds no picture"),
        (_gone, r"pets: expected a directory with a folder of pictures for each class"),
    ],
)
def test_a_bad_folder_is_one_line_and_nothing_is_left(pets, tmp_path, spoil, complaint):
    spoil(pets)
    data = tmp_path / "data"
    with pytest.raises(RequestError, match=complaint) as caught:
        ImageFolder(path=str(pets), size=8).prepare(data)
    assert "\n" not in str(caught.value)
    assert decoded_entries(data) == []


def test_without_a_path_the_error_says_what_to_write(tmp_path):
    with pytest.raises(RequestError, match=r"expected image_folder\[path=DIR\]"):
        ImageFolder().training_images(tmp_path)
