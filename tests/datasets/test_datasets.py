"""The data sets: sizes, fixed splits, what they decode to and when again, and what a missing or bad one says."""

import errno
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision.datasets
from conftest import SHARED
from PIL import Image

from bench.datasets import _decoded, _download, _pictures
from bench.datasets.cifar10 import CIFAR10
from bench.datasets.cifar100 import CIFAR100
from bench.datasets.digits import Digits
from bench.datasets.fashion_mnist import FashionMNIST
from bench.datasets.gtsrb import GTSRB
from bench.datasets.image_folder import ImageFolder
from bench.datasets.imagenette import Imagenette
from bench.datasets.mnist5k import MNIST5k
from bench.datasets.tiny_imagenet import TinyImageNet
from bench.errors import RequestError
from bench.plan.plan import make_plan
from bench.plan.registry import Registry
from bench.plan.request import Request
from bench.plugin.images import augment, batches, stratified_order


def test_mnist5k_is_stratified_and_disjoint():
    splits = MNIST5k().splits(Path())
    assert splits.train.labels.bincount().tolist() == [400] * 10
    assert splits.test.labels.bincount().tolist() == [100] * 10
    train = {image.numpy().tobytes() for image in splits.train.images}
    assert not any(image.numpy().tobytes() in train for image in splits.test.images)
    assert splits.train.floats.mean() == pytest.approx(0.13, abs=0.01)


@pytest.mark.parametrize("dataset", [MNIST5k(), Digits()])
def test_what_it_says_of_itself_is_true(dataset):
    train = dataset.splits(Path()).train
    assert dataset.training_images(Path()) == len(train)
    assert train.floats.mean() == pytest.approx(dataset.spec.mean[0], abs=2e-3)
    assert train.floats.std() == pytest.approx(dataset.spec.std[0], abs=2e-3)


def test_train_size_takes_the_beginning_of_one_order():
    small, large = (Digits(train_size=size).splits(Path()) for size in (200, 400))
    assert torch.equal(small.train.images, large.train.images[:200])
    assert small.train.labels.bincount().min() >= 19
    assert torch.equal(small.test.images, large.test.images)
    with pytest.raises(RequestError, match="train_size=9999"):
        Digits(train_size=9999).splits(Path())


def test_every_beginning_of_the_order_is_stratified():
    labels = torch.tensor([0] * 80 + [1] * 20)
    order = stratified_order(labels, torch.Generator().manual_seed(0))
    assert sorted(order.tolist()) == list(range(100))
    for count in range(5, 100):
        assert abs(int((labels[order[:count]] == 1).sum()) - count / 5) <= 1


def test_cifar10_reads_the_official_files(cifar10_root):
    dataset = CIFAR10()
    dataset.prepare(cifar10_root)
    splits = dataset.splits(cifar10_root)
    assert splits.train.images.shape == (50000, 3, 32, 32)
    assert splits.test.labels.bincount().tolist() == [1000] * 10
    mean = splits.train.images.float().mean((0, 2, 3)) / 255
    torch.testing.assert_close(mean, torch.tensor(dataset.spec.mean), atol=1e-3, rtol=0)
    reference = torchvision.datasets.CIFAR10(cifar10_root, train=False)
    assert np.array_equal(splits.test.images.permute(0, 2, 3, 1), reference.data)
    assert splits.test.labels.tolist() == reference.targets


def test_later_starts_of_cifar10_take_under_two_seconds(cifar10_root, monkeypatch):
    CIFAR10().prepare(cifar10_root)
    monkeypatch.setattr(CIFAR10, "reader", property(lambda self: pytest.fail("decoded again")))
    begun = time.perf_counter()
    CIFAR10().prepare(cifar10_root)
    splits = CIFAR10().splits(cifar10_root)
    assert time.perf_counter() - begun < 2
    assert len(splits.train) == 50000


@pytest.fixture(scope="module")
def gtsrb_root(tmp_path_factory):
    """A directory with real GTSRB in torchvision's layout: whole, or the third of it that is at hand."""
    given = os.environ.get("DEFENSEBENCH_DATA")
    if given and (Path(given) / "gtsrb").is_dir():
        return Path(given)
    if not SHARED.is_file():
        pytest.skip("the real GTSRB is not here: set DEFENSEBENCH_DATA to a directory that has it")
    root = tmp_path_factory.mktemp("data")
    subprocess.run([sys.executable, str(SHARED), "--root", str(root), "gtsrb"], check=True, capture_output=True)
    return root


def test_gtsrb_is_what_torchvision_reads(gtsrb_root):
    splits = GTSRB().splits(gtsrb_root)
    assert len(splits.train) == GTSRB().training_images(gtsrb_root)
    assert splits.train.labels.unique().tolist() == splits.test.labels.unique().tolist() == list(range(43))
    for split, part in (("train", splits.train), ("test", splits.test)):
        reference = torchvision.datasets.GTSRB(gtsrb_root, split=split)
        for place in range(0, len(reference), 250):
            image, label = reference[place]
            assert np.array_equal(part.images[place].permute(1, 2, 0), np.asarray(image.resize((32, 32), 2)))
            assert part.labels[place] == label
    mean = splits.train.images.float().mean((0, 2, 3)) / 255
    torch.testing.assert_close(mean, torch.tensor(GTSRB().spec.mean), atol=3e-3, rtol=0)


@pytest.mark.parametrize(("fit", "box"), [("stretch", (0, 40)), ("crop", (5, 35))])
def test_a_picture_becomes_a_square_as_torch_would_make_it(tmp_path, fit, box):
    coarse = np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8)
    picture = Image.fromarray(coarse).resize((40, 30), Image.Resampling.BICUBIC)
    picture.save(tmp_path / "p.png")
    cut = torch.from_numpy(np.asarray(picture).transpose(2, 0, 1).copy())[None, :, :, box[0] : box[1]].float()
    expected = torch.nn.functional.interpolate(cut, (10, 10), mode="bilinear", antialias=True)[0]
    found = torch.from_numpy(_pictures.square(tmp_path / "p.png", 10, fit).copy()).float()
    inner = slice(1, -1) if fit == "crop" else slice(None)  # at its edge the cut one sees a little of what is beyond
    torch.testing.assert_close(found[:, :, inner], expected[:, :, inner], atol=1.01, rtol=0)


@pytest.mark.parametrize(
    ("dataset", "shape", "classes", "flip", "crop"),
    [
        (CIFAR10(), (3, 32, 32), 10, True, 4),
        (CIFAR100(), (3, 32, 32), 100, True, 4),
        (FashionMNIST(), (1, 28, 28), 10, True, 2),
        (GTSRB(), (3, 32, 32), 43, False, 4),
        (GTSRB(size=64), (3, 64, 64), 43, False, 8),
        (TinyImageNet(), (3, 64, 64), 200, True, 8),
        (Imagenette(), (3, 160, 160), 10, True, 20),
    ],
)
def test_what_is_known_before_anything_is_downloaded(dataset, shape, classes, flip, crop):
    spec = dataset.spec
    assert (spec.shape, spec.classes, dataset.flip, dataset.crop) == (shape, classes, flip, crop)
    assert len(spec.mean) == len(spec.std) == spec.channels


# --- a directory of one's own ------------------------------------------------------------------------


@pytest.fixture
def pets(tmp_path):
    """A directory with ten pictures each of cats and dogs and five of owls, each of a colour of its own."""
    for label, (name, count) in enumerate([("cat", 10), ("dog", 10), ("owl", 5)]):
        (tmp_path / "pets" / name).mkdir(parents=True)
        for number in range(count):
            picture = Image.new("RGB", (40, 20), (0, 0, 255))
            picture.paste((80 * label, 20 * number, 0), (10, 0, 30, 20))  # the middle square
            picture.save(tmp_path / "pets" / name / f"{number}.png")
    (tmp_path / "pets" / "notes.txt").write_text("no picture")
    (tmp_path / "pets" / "cat" / "notes.txt").write_text("no picture")
    (tmp_path / "pets" / ".hidden").mkdir()
    return tmp_path / "pets"


def colours(part) -> list[tuple[int, int]]:
    """Red and green of images that have one colour but for the edge, where the filter reaches beyond the square."""
    inner = part.images[:, :, 1:-1, 1:-1]
    assert torch.equal(inner.amax((2, 3)), inner.amin((2, 3)))
    return [(int(image[0, 0, 0]), int(image[1, 0, 0])) for image in inner]


def decoded(folder: Path) -> list[str]:
    """The entries of decoded images under a data directory."""
    if not (folder / "decoded").exists():
        return []
    return sorted(path.name for path in (folder / "decoded").iterdir() if path.suffix != ".lock")


def test_a_folder_a_class_is_split_in_a_fixed_stratified_way(pets, tmp_path):
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


def test_a_worker_makes_the_same_folder_from_its_parameters(pets, tmp_path, monkeypatch):
    monkeypatch.chdir(pets.parent)
    planned = ImageFolder(path="pets", size=8)
    assert planned.path == str(pets)
    made = ImageFolder(**planned.model_dump(mode="json"))
    assert made == planned
    (pets / "cat" / "3.png").write_bytes((pets / "dog" / "3.png").read_bytes())
    assert ImageFolder(path="pets", size=8).contents != planned.contents  # another key: no stale result
    with pytest.raises(RequestError, match="its pictures have changed since this run was planned"):
        made.splits(tmp_path)


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
        (_gone, r"pets: expected a directory with a folder of pictures a class"),
    ],
)
def test_a_bad_folder_is_one_line_and_nothing_is_left(pets, tmp_path, spoil, complaint):
    spoil(pets)
    data = tmp_path / "data"
    with pytest.raises(RequestError, match=complaint) as caught:
        ImageFolder(path=str(pets), size=8).prepare(data)
    assert "\n" not in str(caught.value)
    assert decoded(data) == []


def test_an_image_folder_without_a_path_says_what_to_write(tmp_path):
    with pytest.raises(RequestError, match=r"expected image_folder\[path=DIR\]"):
        ImageFolder().training_images(tmp_path)


# --- decoded once ------------------------------------------------------------------------------------


def test_it_is_decoded_again_only_when_the_source_has_changed(pets, tmp_path, monkeypatch):
    ImageFolder(path=str(pets), size=8).prepare(tmp_path)
    [first] = decoded(tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr(_decoded, "_write", lambda *args: pytest.fail("decoded again"))
        ImageFolder(path=str(pets), size=8, train_size=5).prepare(tmp_path)
    Image.new("RGB", (8, 8), (7, 7, 7)).save(pets / "owl" / "9.png")
    splits = ImageFolder(path=str(pets), size=8, test_share=0.04).splits(tmp_path)
    assert len(splits.train) + len(splits.test) == 26
    assert (7, 7) in colours(splits.train) + colours(splits.test)
    assert len(decoded(tmp_path)) == 2  # another share is another split
    ImageFolder(path=str(pets), size=8).prepare(tmp_path)
    assert len(decoded(tmp_path)) == 2  # what no longer holds is removed
    assert first not in decoded(tmp_path)
    assert ImageFolder(path=str(pets), size=16).splits(tmp_path).train.images.shape == (21, 3, 16, 16)


def test_what_the_source_no_longer_says_is_removed(gtsrb_copy):
    GTSRB().prepare(gtsrb_copy)
    [first] = decoded(gtsrb_copy)
    answers = gtsrb_copy / "gtsrb" / "GT-final_test.csv"
    answers.write_text(answers.read_text().rsplit("\n", 2)[0] + "\n")  # its last row
    before = len(_decoded._mapped(gtsrb_copy / "decoded" / first).test)
    assert len(GTSRB().splits(gtsrb_copy).test) == before - 1
    [second] = decoded(gtsrb_copy)
    assert second != first


def test_results_on_a_part_of_gtsrb_are_never_taken_for_those_on_the_whole(gtsrb_copy):
    def key(**changes):
        asked = {"datasets": "gtsrb", "reference": "1", "suspects": 0, **changes}
        request = Request(defenses="none", attacks="badnets", **asked)
        [cell] = make_plan(request, Registry(), gtsrb_copy).cells
        assert cell.victim.dataset.label == request.datasets
        return cell.victim.key, cell.victim.dataset.parameters["images"]

    first, count = key()
    assert count == 43
    room = gtsrb_copy / "gtsrb" / "GTSRB" / "Training" / "00007"
    Image.new("RGB", (9, 9)).save(room / "00000_00001.ppm")
    second, count = key()
    assert (count, first != second) == (44, True)
    assert key(datasets="gtsrb[images=44]")[0] == second
    with pytest.raises(RequestError, match=r"images=39209: .* holds 44 training images"):
        key(datasets="gtsrb[images=39209]")


def test_a_gtsrb_that_is_still_to_be_downloaded_is_the_official_one(tmp_path):
    assert GTSRB().located(tmp_path).images == 39209


@pytest.fixture
def gtsrb_copy(tmp_path):
    """A GTSRB of one training image a class and two test images, in torchvision's layout."""
    base = tmp_path / "gtsrb"
    for label in range(43):
        (base / "GTSRB" / "Training" / f"{label:05d}").mkdir(parents=True)
        Image.new("RGB", (9, 9), (label, 0, 0)).save(base / "GTSRB" / "Training" / f"{label:05d}" / "00000_00000.ppm")
    (base / "GTSRB" / "Final_Test" / "Images").mkdir(parents=True)
    for number in range(2):
        Image.new("RGB", (9, 9)).save(base / "GTSRB" / "Final_Test" / "Images" / f"{number:05d}.ppm")
    (base / "GT-final_test.csv").write_text("Filename;ClassId\n00000.ppm;3\n00001.ppm;4\n")
    return tmp_path


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("Filename;ClassId\n00000.ppm;43\n", "expected test images of classes 0 to 42, found 43"),
        ("Filename;ClassId\n", "expected test images of classes 0 to 42"),
        ("a,b\n1,2\n", "expected columns Filename and ClassId"),
        ("Filename;ClassId\n00009.ppm;3\n", r"not whole: GTSRB/Final_Test/Images/00009.ppm is missing"),
    ],
)
def test_wrong_test_labels_are_one_line(gtsrb_copy, text, complaint):
    (gtsrb_copy / "gtsrb" / "GT-final_test.csv").write_text(text)
    with pytest.raises(RequestError, match=complaint):
        GTSRB().prepare(gtsrb_copy)
    assert decoded(gtsrb_copy) == []


def test_a_full_disk_while_decoding_is_one_line_and_leaves_nothing(gtsrb_copy, monkeypatch):
    def full(*args):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(RequestError, match=r"gtsrb: the disk of .* is full") as caught:
            GTSRB().prepare(gtsrb_copy)
    assert "\n" not in str(caught.value)
    assert decoded(gtsrb_copy) == []
    GTSRB().prepare(gtsrb_copy)


def test_what_a_killed_process_left_is_not_taken_for_a_data_set(gtsrb_copy):
    GTSRB().prepare(gtsrb_copy)
    [entry] = decoded(gtsrb_copy)
    room = gtsrb_copy / "decoded"
    (room / entry).rename(room / "gtsrb.half")  # as a kill just before the rename leaves it
    (room / "gtsrb.half" / "train.npy").unlink()
    assert len(GTSRB().splits(gtsrb_copy).train) == 43
    assert decoded(gtsrb_copy) == [entry]


@pytest.mark.parametrize("size", [0, 60, 1000])
def test_a_cut_off_decoded_file_is_made_again(gtsrb_copy, size):
    expected = GTSRB().splits(gtsrb_copy).train.images.clone()
    [entry] = decoded(gtsrb_copy)
    os.truncate(gtsrb_copy / "decoded" / entry / "images.npy", size)
    assert torch.equal(GTSRB().splits(gtsrb_copy).train.images, expected)


def test_nothing_written_to_the_images_reaches_the_disk(gtsrb_copy):
    before = GTSRB().splits(gtsrb_copy).train.images
    before.fill_(200)
    assert GTSRB().splits(gtsrb_copy).train.images[:, 0, 0, 0].tolist() == list(range(43))


def test_data_that_may_only_be_read_are_decoded_into_the_users_cache(gtsrb_copy, monkeypatch, tmp_path_factory):
    cache = tmp_path_factory.mktemp("cache")
    (gtsrb_copy / "decoded").touch()  # nothing can be put there, as in a directory that may only be read
    monkeypatch.setattr(_decoded, "READ_ONLY", (errno.EEXIST,))
    monkeypatch.setattr(_decoded.platformdirs, "user_cache_path", lambda name: cache / name)
    assert len(GTSRB().splits(gtsrb_copy).train) == 43
    assert len(decoded(cache / "defensebench")) == 1
    (gtsrb_copy / "decoded").unlink()
    (cache / "defensebench" / "decoded").rename(gtsrb_copy / "decoded")  # decoded by whoever put the data there
    monkeypatch.setattr(_decoded, "_room", lambda folder: pytest.fail("something was to be written"))
    assert len(GTSRB().splits(gtsrb_copy).train) == 43


def test_a_missing_cifar10_is_one_line(tmp_path, monkeypatch):
    def offline(*args, **kwargs):
        raise OSError("no network")

    monkeypatch.setattr(_download, "urlopen", offline)
    with pytest.raises(RequestError, match="cifar10: not found whole under") as caught:
        CIFAR10().prepare(tmp_path)
    assert "\n" not in str(caught.value)


def test_crops_and_flips_are_those_of_a_loop():
    images = torch.rand(40, 2, 6, 6, generator=torch.Generator().manual_seed(0))
    augmented = augment(images, torch.Generator().manual_seed(1), crop=2, flip=True)
    padded = torch.nn.functional.pad(images, (2,) * 4)
    flipped = 0
    for image, source in zip(augmented, padded, strict=True):
        windows = [source[:, r : r + 6, c : c + 6] for r in range(5) for c in range(5)]
        plain = any(torch.equal(image, window) for window in windows)
        mirrored = any(torch.equal(image, window.flip(-1)) for window in windows)
        assert plain or mirrored
        flipped += mirrored and not plain
    assert 8 <= flipped <= 32


def test_batches_show_every_image_once():
    seen = torch.cat(list(batches(10, 4, torch.Generator().manual_seed(0), torch.device("cpu"))))
    assert sorted(seen.tolist()) == list(range(10))
    assert [len(b) for b in batches(9, 4, torch.Generator(), torch.device("cpu"))] == [4, 4]  # a single one is left out
