"""GTSRB: German traffic signs in 43 classes, with the published test split; pictures of 15 to 250 pixels.

Two layouts are read, under DATA/gtsrb or DATA: that of the official archives (GTSRB/Final_Training/Images, 39,209
training images) and torchvision's (GTSRB/Training, the 26,640 of the competition). The official one wins if both exist.
It is downloaded at first use (360 MB) and checked by MD5. Every image is stretched to a square. Stallkamp et al.,
Neural Networks 2012.
"""

import csv
from pathlib import Path
from typing import ClassVar, Self

from pydantic import Field

from bench.datasets import _pictures
from bench.datasets._decoded import Decoded, Source
from bench.datasets._download import fetch, unpack
from bench.plugin import ImageSpec, RequestError

CLASSES = 43
URL = "https://sid.erda.dk/public/archives/daaeac0d7ce1152aea9b61d9f1e19370"
TRAIN = ("GTSRB/Final_Training/Images", "GTSRB/Training")
TEST = "GTSRB/Final_Test/Images"
TEST_LABELS = "GT-final_test.csv"
ARCHIVES = {  # name: MD5, and the member that is kept
    "GTSRB_Final_Training_Images.zip": ("f33fd80ac59bff73c82d25ab499e03a3", "GTSRB/Final_Training"),
    "GTSRB_Final_Test_Images.zip": ("c7e4e6327067d32654124b0fe9e82185", "GTSRB/Final_Test"),
    "GTSRB_Final_Test_GT.zip": ("fe31e9c9270bbcd7b84b7f21a9d9d9e5", TEST_LABELS),
}


class GTSRB(Decoded):
    name: ClassVar[str] = "gtsrb"
    source: ClassVar[str] = "Stallkamp et al., Neural Networks 2012"
    flip: ClassVar[bool] = False  # the mirror image of "keep right" is "keep left"
    published: ClassVar[tuple[int, int]] = (39209, 12630)
    inferred: ClassVar[frozenset[str]] = frozenset({"images"})
    class_names: ClassVar[tuple[str, ...]] = (
        "speed limit 20", "speed limit 30", "speed limit 50", "speed limit 60", "speed limit 70", "speed limit 80",
        "end of speed limit 80", "speed limit 100", "speed limit 120", "no passing", "no passing over 3.5 t",
        "right of way at next intersection", "priority road", "yield", "stop", "no vehicles",
        "no vehicles over 3.5 t", "no entry", "general caution", "dangerous curve left", "dangerous curve right",
        "double curve", "bumpy road", "slippery road", "road narrows on the right", "road work", "traffic signals",
        "pedestrians", "children crossing", "bicycles crossing", "ice or snow", "wild animals crossing",
        "end of all limits", "turn right ahead", "turn left ahead", "ahead only", "straight or right",
        "straight or left", "keep right", "keep left", "roundabout", "end of no passing",
        "end of no passing over 3.5 t",
    )  # fmt: skip
    size: int = Field(32, ge=8, le=512, description="side of the square images, in pixels")
    images: int | None = Field(
        None,
        ge=1,
        description="number of training images that must exist; filled in from the directory, so that results on the "
        "official 39,209 are never mixed with those on the competition's 26,640 or on a part",
    )

    @property
    def crop(self) -> int:  # type: ignore[override]  # it follows from the size
        return self.size // 8

    @property
    def spec(self) -> ImageSpec:
        mean, std = (0.3403, 0.3121, 0.3214), (0.2724, 0.2608, 0.2669)
        return ImageSpec(3, self.size, self.size, classes=CLASSES, mean=mean, std=std, crop=self.crop, flip=self.flip)

    def located(self, folder: Path) -> Self:
        count = Decoded.training_images(self.model_copy(update={"train_size": None}), folder)
        return self.model_copy(update={"images": self.images or count})

    def training_images(self, folder: Path) -> int:
        return self.train_size or self.images or super().training_images(folder)

    def find(self, folder: Path) -> Source | None:
        root, train, labels = _layout(folder)
        if not (train and labels and (root / TEST).is_dir()):
            return None
        train_samples = [
            (name, label) for label in range(CLASSES) for name in _pictures.pictures(root, f"{train}/{label:05d}")
        ]
        if self.images not in (None, len(train_samples)):
            raise RequestError(
                f"gtsrb: images={self.images}: {root / train} holds {len(train_samples)} training images"
            )
        _check_complete(root / train, {name.removeprefix(f"{train}/") for name, _ in train_samples})
        test_samples = [(f"{TEST}/{name}", label) for name, label in _rows(root / labels)]
        return _pictures.source(root, train_samples, test_samples, self.size, "stretch", lists=[labels])

    def download(self, folder: Path) -> None:
        root, train, labels = _layout(folder)
        present = {"GTSRB/Final_Training": train, "GTSRB/Final_Test": (root / TEST).is_dir(), TEST_LABELS: labels}
        for archive, (md5, member) in ARCHIVES.items():
            if not present[member]:
                fetch(f"{URL}/{archive}", root / archive, md5)
                unpack(root / archive, {member: root / member})


def _layout(folder: Path) -> tuple[Path, str | None, str | None]:
    """The directory that holds GTSRB/, and in it the training images and the file of test labels; None if missing."""
    label_files = (TEST_LABELS, f"GTSRB/{TEST_LABELS}", f"{TEST}/{TEST_LABELS}")
    for root in (folder / "gtsrb", folder):
        train = next((name for name in TRAIN if (root / name).is_dir()), None)
        labels = next((name for name in label_files if (root / name).is_file()), None)
        if train or labels or (root / TEST).is_dir():
            return root, train, labels
    return folder / "gtsrb", None, None


def _rows(listing: Path) -> list[tuple[str, int]]:
    """The file names and classes in one of the official lists, in its order. Raises RequestError for another format."""
    try:
        with listing.open(newline="") as stream:
            rows = [(row["Filename"], int(row["ClassId"])) for row in csv.DictReader(stream, delimiter=";")]
    except (KeyError, TypeError, ValueError, csv.Error) as error:
        raise RequestError(f"{listing}: expected columns Filename and ClassId, separated by semicolons") from error
    wrong = next((label for _, label in rows if not 0 <= label < CLASSES), None)
    if wrong is not None or not rows:
        raise RequestError(f"{listing}: expected test images of classes 0 to {CLASSES - 1}, found {wrong}")
    return rows


def _check_complete(train: Path, files: set[str]) -> None:
    """Raise RequestError for a class without images, or for an image of the archive's own lists that is missing.

    The lists are GT-00000.csv and so on, one for each class. A copy without any of them is taken as it is.
    """
    classes = [f"{label:05d}" for label in range(CLASSES)]
    lists = {name: train / name / f"GT-{name}.csv" for name in classes}
    listed = [name for name in classes if lists[name].is_file()]
    expected = {f"{name}/{file}" for name in listed for file, _ in _rows(lists[name])}
    missing = sorted(set(classes) - {name.partition("/")[0] for name in files}) + sorted(expected - files)
    if listed:
        missing += [f"{name}/{lists[name].name}" for name in classes if name not in listed]
    if missing:
        raise RequestError(
            f"gtsrb: {train}: not whole: {missing[0]} is missing or empty; delete it to have it downloaded again"
        )
