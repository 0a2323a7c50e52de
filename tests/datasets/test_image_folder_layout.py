"""What is a split, a class or a picture in a folder of one's own, and what is refused or counted."""

import os
import shutil

import pytest
from dataset_files import colours, fill, picture
from PIL import Image

from bench.datasets._image_folder_layout import role
from bench.datasets.image_folder import ImageFolder
from bench.errors import RequestError


def layout(root, *folders: str, count: int = 3):
    """A directory with ``count`` pictures in each of ``folders``."""
    for number, folder in enumerate(folders):
        fill(root / folder, count, number)
    return root


def labels(root, data) -> tuple[list[int], list[int]]:
    splits = ImageFolder(path=str(root), size=8).splits(data)
    return splits.train.labels.tolist(), splits.test.labels.tolist()


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ("Train", "Test"),
        ("TRAIN", "VAL"),
        ("Training", "Testing"),
        ("training_set", "test_set"),
        ("trainingSet", "testSet"),
        ("train2017", "val2017"),
        ("seg_train", "seg_test"),
        ("train-images", "validation images"),
        ("trn", "valid"),
    ],
)
def test_splits_of_usual_names_are_splits(tmp_path, train, test):
    root = layout(tmp_path / "d", f"{train}/a", f"{train}/b", f"{test}/a", f"{test}/b")
    assert labels(root, tmp_path / "data") == ([0, 0, 0, 1, 1, 1], [0, 0, 0, 1, 1, 1])


@pytest.mark.parametrize(
    ("folders", "complaint"),
    [
        (("Train/a", "Train/b"), r"no test split: expected test/ or val/ beside Train/"),
        (("Test/a", "Test/b", "c"), r"no training split: expected train/ beside Test/"),
        (("train/a", "train/b", "Training/a", "Training/b", "test/a"), r"Training and train: expected one of them"),
        (("train/a", "train/b", "test/a", "test/b", "Testing/a"), r"Testing and test: expected one of them"),
        (("train", "test"), r"train/: expected a folder of pictures for each class"),
        (("a/train", "a/test", "b/train", "b/test"), r"a/ holds splits: test, train; expected the folders of the spl"),
        (("train/a", "train/b", "test/A", "test/b"), r"test/A: there is no train/A"),
        (("train/a", "train/b", "test/a"), r"test/b: there is no such folder"),
    ],
)
def test_unclear_splits_are_refused(tmp_path, folders, complaint):
    root = layout(tmp_path / "d", *folders)
    with pytest.raises(RequestError, match=complaint) as caught:
        ImageFolder(path=str(root), size=8).prepare(tmp_path / "data")
    assert len(str(caught.value).splitlines()) == 1


def test_a_class_may_be_called_as_a_split_is(tmp_path):
    root = layout(tmp_path / "d", "plane", "train", "test_tubes/big", "test_tubes/small")
    assert ImageFolder(path=str(root)).spec.classes == 3


def test_a_long_name_is_understood_at_once():
    assert role("train" + "1" * 200 + "x") is None
    assert role("train" + "_1" * 100) == "training"


def test_numbered_classes_are_in_the_order_of_their_numbers(tmp_path):
    root = layout(tmp_path / "d", *(f"class{number}" for number in range(12)))
    splits = ImageFolder(path=str(root), size=8).splits(tmp_path / "data")
    found = {(red, label) for (red, _), label in zip(colours(splits.train), splits.train.labels.tolist(), strict=True)}
    assert found == {(10 * label, label) for label in range(12)}


def test_folders_and_pictures_that_are_links_are_read(tmp_path):
    root, elsewhere = layout(tmp_path / "d", "a", "b"), layout(tmp_path / "else", "c", "inner")
    (root / "c").symlink_to(elsewhere / "c")
    (root / "b" / "inner").symlink_to(elsewhere / "inner")
    (root / "b" / "link.png").symlink_to(elsewhere / "c" / "0.png")
    train, test = labels(root, tmp_path / "data")
    assert [sorted(train + test).count(label) for label in range(3)] == [3, 7, 3]


def test_pictures_behind_a_link_belong_to_the_digest_and_to_what_is_decoded(tmp_path):
    root, elsewhere = layout(tmp_path / "d", "a", "b"), layout(tmp_path / "else", "c")
    (root / "c").symlink_to(elsewhere / "c")
    before = ImageFolder(path=str(root), size=8)
    assert colours(before.splits(tmp_path / "data").train).count((7, 7)) == 0
    for file in (elsewhere / "c").iterdir():
        Image.new("RGB", (8, 8), (7, 7, 7)).save(file)
    after = ImageFolder(path=str(root), size=8)
    assert after.contents != before.contents
    splits = after.splits(tmp_path / "data")
    assert (colours(splits.train) + colours(splits.test)).count((7, 7)) == 3


def test_a_link_that_leads_back_is_refused(tmp_path):
    root = layout(tmp_path / "d", "a", "b")
    (root / "a" / "again").symlink_to(root / "a")
    with pytest.raises(RequestError, match="a/again: a link to a folder that it lies in"):
        ImageFolder(path=str(root), size=8).prepare(tmp_path / "data")


@pytest.mark.parametrize(("suffix", "kind"), [(".jfif", "JPEG"), (".gif", "GIF"), (".avif", "AVIF"), (".TGA", "TGA")])
def test_other_kinds_of_pictures_are_read(tmp_path, suffix, kind):
    Image.init()
    if kind not in Image.SAVE:
        pytest.skip(f"this Pillow writes no {kind}")
    root = layout(tmp_path / "d", "a", "b")
    (root / "a" / f"more{suffix}").write_bytes(picture(10, kind))
    train, test = labels(root, tmp_path / "data")
    assert sorted(train + test) == [0, 0, 0, 0, 1, 1, 1]


def test_a_run_says_what_was_found_and_what_was_left_out(tmp_path, capfd):
    root = layout(tmp_path / "d", "train/a", "train/b", "test/a", "test/b", "extra/c")
    for name in ("train/a/notes.TXT", "train/b/raw.nef", "test/a/more.nef", "train/a/.hidden.png", "test/LICENSE"):
        (root / name).write_text("no picture")
    shutil.copy(root / "train" / "a" / "0.png", root / "train" / "loose.png")
    ImageFolder(path=str(root), size=8).prepare(tmp_path / "data")
    out, err = capfd.readouterr()
    assert out == ""
    assert err == (
        f"image_folder: {root}: 6 training and 6 test images in 2 classes: a 3+3, b 3+3; left out: 2 .nef, 1 .txt, "
        "1 folder extra/, 1 hidden, 1 pictures outside of the classes, 1 without a suffix\n"
    )


def test_the_directory_may_be_the_data_directory_itself(tmp_path):
    root = layout(tmp_path / "pics", "cat", "dog")
    first = ImageFolder(path=str(root), size=8)
    first.prepare(root)
    assert (root / "decoded").is_dir()
    again = ImageFolder(path=str(root), size=8)
    assert again == first
    assert again.spec.classes == 2
    again.prepare(root)


def test_a_named_pipe_is_refused_by_name(tmp_path):
    root = layout(tmp_path / "d", "a", "b")
    os.mkfifo(root / "a" / "pipe.png")
    with pytest.raises(RequestError, match=r"a/pipe.png: expected a picture, found no regular file"):
        ImageFolder(path=str(root), size=8).prepare(tmp_path / "data")


def _ring(root):
    (root / "ring").symlink_to(root / "ring")


def _deep(root):
    (root / "a" / "/".join("x" * 200)).mkdir(parents=True)


def _bytes(root):
    with open(os.fsencode(root) + b"/a/\xff.png", "wb") as stream:  # noqa: PTH123  # a name that is no text
        stream.write(b"not a picture")


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        (_ring, "d/ring: Too many levels of symbolic links"),
        (_deep, "d/a: holds more than 100 folders in a row"),
        (_bytes, r"d/a/\\udcff.png: cannot be read as a picture"),
    ],
)
def test_what_the_file_system_can_hold_besides_is_one_line(tmp_path, spoil, complaint):
    root = layout(tmp_path / "d", "a", "b")
    spoil(root)
    with pytest.raises(RequestError, match=complaint) as caught:
        ImageFolder(path=str(root), size=8, train_size=2).prepare(tmp_path / "data")
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("path", ["/dev/null", "/proc/1/fd/0/x", "x" * 300, "a\0b", "x/" * 3000])
def test_a_path_that_is_none_is_one_line(path):
    with pytest.raises(RequestError, match="image_folder: path=") as caught:
        ImageFolder(path=path, train_size=2).spec  # noqa: B018
    assert len(str(caught.value).splitlines()) == 1


def test_odd_names_are_shown_on_one_line(tmp_path):
    root = layout(tmp_path / "d", "a", "b\n\x1b[31m")
    (root / "b\n\x1b[31m" / "0.png").write_text("not a picture")
    with pytest.raises(RequestError, match=r"b\\n\\x1b\[31m/0.png: cannot be read") as caught:
        ImageFolder(path=str(root), size=8).prepare(tmp_path / "data")
    assert str(caught.value).isprintable()
