"""GTSRB: the real one if it is available, and small ones in both layouts."""

import numpy as np
import pytest
import torch
import torchvision.datasets
from dataset_files import decoded_entries, md5, picture, reds, zipped
from PIL import Image

from bench.datasets import gtsrb
from bench.datasets.gtsrb import GTSRB
from bench.errors import RequestError
from bench.plan.plan import make_plan
from bench.plan.registry import Registry
from bench.plan.request import Request


def small_gtsrb(place: str, *, lists: bool) -> tuple[dict[str, bytes], dict[str, bytes], bytes]:
    """Training and test members of the archives, and the test labels: two images a class, 43 for testing."""
    train, test = {}, {}
    for label in range(43):
        files = [f"{track:05d}_00000.ppm" for track in range(2)]
        for track, file in enumerate(files):
            train[f"{place}/{label:05d}/{file}"] = picture(5 * label + track, "PPM", (20 + label, 30))
        if lists:
            rows = ["Filename;Width;Height;Roi.X1;Roi.Y1;Roi.X2;Roi.Y2;ClassId"]
            rows += [f"{file};20;30;5;5;15;25;{label}" for file in files]
            train[f"{place}/{label:05d}/GT-{label:05d}.csv"] = "\r\n".join(rows).encode()
    answers = ["Filename;Width;Height;Roi.X1;Roi.Y1;Roi.X2;Roi.Y2;ClassId"]
    for number in range(43):
        test[f"GTSRB/Final_Test/Images/{number:05d}.ppm"] = picture(3 * number, "PPM", (25, 25))
        answers.append(f"{number:05d}.ppm;25;25;5;5;20;20;{42 - number}")
    return train, test, "\n".join(answers).encode()


def holds_small_gtsrb(splits) -> bool:
    return (
        splits.train.labels.tolist() == [label for label in range(43) for _ in range(2)]
        and reds(splits.train.images) == [5 * label + track for label in range(43) for track in range(2)]
        and splits.test.labels.tolist() == list(range(42, -1, -1))
        and reds(splits.test.images) == [3 * number for number in range(43)]
    )


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


def test_gtsrb_downloads_the_official_archives(server, monkeypatch, tmp_path):
    train, test, answers = small_gtsrb("GTSRB/Final_Training/Images", lists=True)
    contents = [zipped(train), zipped(test), zipped({"GT-final_test.csv": answers})]
    archives = {}
    for (name, (_, member)), content in zip(gtsrb.ARCHIVES.items(), contents, strict=True):
        server.files[name] = content
        archives[name] = (md5(content), member)
    monkeypatch.setattr(gtsrb, "ARCHIVES", archives)
    monkeypatch.setattr(gtsrb, "URL", server.url)
    assert holds_small_gtsrb(GTSRB().splits(tmp_path))
    assert GTSRB(size=48).splits(tmp_path).test.images.shape == (43, 3, 48, 48)
    assert len(server.asked) == 3
    assert torchvision.datasets.GTSRB(tmp_path, split="test")[5][1] == 37  # its layout, where it has one
    (tmp_path / "gtsrb" / "GTSRB" / "Final_Training" / "Images" / "00007" / "00001_00000.ppm").unlink()
    with pytest.raises(RequestError, match=r"not whole: 00007/00001_00000.ppm is missing"):
        GTSRB().prepare(tmp_path)


@pytest.mark.parametrize("place", ["GTSRB/Training", "GTSRB/Final_Training/Images"])
@pytest.mark.parametrize("base", ["gtsrb", "."])
def test_gtsrb_is_read_in_both_layouts(offline, tmp_path, place, base):
    train, test, answers = small_gtsrb(place, lists=False)
    for name, content in {**train, **test, "GT-final_test.csv": answers}.items():
        (tmp_path / base / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / base / name).write_bytes(content)
    assert GTSRB().training_images(tmp_path) == 86
    assert holds_small_gtsrb(GTSRB().splits(tmp_path))
    for file in (tmp_path / base / place / "00042").iterdir():
        file.unlink()
    with pytest.raises(RequestError, match="not whole: 00042 is missing or empty"):
        GTSRB().prepare(tmp_path)
    (tmp_path / base / "GT-final_test.csv").unlink()
    with pytest.raises(RequestError, match="gtsrb: not found whole"):
        GTSRB().prepare(tmp_path)


def test_a_part_of_gtsrb_has_another_key_than_the_whole(gtsrb_copy):
    def key(**changes):
        request = Request(
            **{
                "defenses": "none",
                "attacks": "badnets",
                "datasets": "gtsrb",
                "reference": "1",
                "suspects": 0,
                **changes,
            }
        )
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


def test_before_its_download_gtsrb_is_the_official_one(tmp_path):
    assert GTSRB().located(tmp_path).images == 39209


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
    assert decoded_entries(gtsrb_copy) == []
