"""GTSRB: German traffic signs in 43 classes, with the published test split; pictures of 15 to 250 pixels.

Read in torchvision's layout (gtsrb/GTSRB/Training: the 26,640 images of the competition) or in that of the official
archives (GTSRB/Final_Training/Images: all 39,209), under DATA/gtsrb or DATA; where both lie there, the official one.
Downloaded at first use: the official archives (360 MB), checked by MD5. Every image is stretched to a square.
Stallkamp et al., Neural Networks 2012.
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
ANSWERS = "GT-final_test.csv"
ARCHIVES = {  # name: MD5, and what of it goes where
    "GTSRB_Final_Training_Images.zip": ("f33fd80ac59bff73c82d25ab499e03a3", "GTSRB/Final_Training"),
    "GTSRB_Final_Test_Images.zip": ("c7e4e6327067d32654124b0fe9e82185", "GTSRB/Final_Test"),
    "GTSRB_Final_Test_GT.zip": ("fe31e9c9270bbcd7b84b7f21a9d9d9e5", ANSWERS),
}


class GTSRB(Decoded):
    name: ClassVar[str] = "gtsrb"
    source: ClassVar[str] = "Stallkamp et al., Neural Networks 2012"
    flip: ClassVar[bool] = False  # the mirror image of "keep right" is "keep left"
    published: ClassVar[tuple[int, int]] = (39209, 12630)
    found_out: ClassVar[frozenset[str]] = frozenset({"images"})
    size: int = Field(32, ge=8, le=512, description="side of the square images, in pixels")
    images: int | None = Field(
        None,
        ge=1,
        description="how many training images must lie there; filled in from the directory, so that results on the "
        "official 39,209 are never mixed with those on the competition's 26,640 or on a part",
    )

    @property
    def crop(self) -> int:  # type: ignore[override]  # it follows from the size
        return self.size // 8

    @property
    def spec(self) -> ImageSpec:
        mean, std = (0.3403, 0.3121, 0.3214), (0.2724, 0.2608, 0.2669)
        return ImageSpec(3, self.size, self.size, classes=CLASSES, mean=mean, std=std)

    def located(self, folder: Path) -> Self:
        there = Decoded.training_images(self.model_copy(update={"train_size": None}), folder)
        return self.model_copy(update={"images": self.images or there})

    def training_images(self, folder: Path) -> int:
        return self.train_size or self.images or super().training_images(folder)

    def find(self, folder: Path) -> Source | None:
        root, train, answers = _places(folder)
        if not (train and answers and (root / TEST).is_dir()):
            return None
        learned = [
            (name, label) for label in range(CLASSES) for name in _pictures.pictures(root, f"{train}/{label:05d}")
        ]
        if self.images not in (None, len(learned)):
            raise RequestError(f"gtsrb: images={self.images}: {root / train} holds {len(learned)} training images")
        _complete(root / train, {name.removeprefix(f"{train}/") for name, _ in learned})
        asked = [(f"{TEST}/{name}", label) for name, label in _rows(root / answers)]
        return _pictures.source(root, learned, asked, self.size, "stretch", beside=[answers])

    def download(self, folder: Path) -> None:
        root, train, answers = _places(folder)
        there = {"GTSRB/Final_Training": train, "GTSRB/Final_Test": (root / TEST).is_dir(), ANSWERS: answers}
        for archive, (md5, member) in ARCHIVES.items():
            if not there[member]:
                fetch(f"{URL}/{archive}", root / archive, md5)
                unpack(root / archive, {member: root / member})


def _places(folder: Path) -> tuple[Path, str | None, str | None]:
    """The directory that holds GTSRB/, the training images in it, and the file with the test labels, or None."""
    for root in (folder / "gtsrb", folder):
        train = next((place for place in TRAIN if (root / place).is_dir()), None)
        answers = next(
            (name for name in (ANSWERS, f"GTSRB/{ANSWERS}", f"{TEST}/{ANSWERS}") if (root / name).is_file()), None
        )
        if train or answers or (root / TEST).is_dir():
            return root, train, answers
    return folder / "gtsrb", None, None


def _rows(answers: Path) -> list[tuple[str, int]]:
    """File names and classes of the test images, in the order of the official file."""
    try:
        with answers.open(newline="") as stream:
            rows = [(row["Filename"], int(row["ClassId"])) for row in csv.DictReader(stream, delimiter=";")]
    except (KeyError, TypeError, ValueError) as error:
        raise RequestError(f"{answers}: expected columns Filename and ClassId, separated by semicolons") from error
    wrong = next((label for _, label in rows if not 0 <= label < CLASSES), None)
    if wrong is not None or not rows:
        raise RequestError(f"{answers}: expected test images of classes 0 to {CLASSES - 1}, found {wrong}")
    return rows


def _complete(train: Path, found: set[str]) -> None:
    """RequestError for a class without images, or where one is missing of those in the archive's own lists.

    The lists are GT-00000.csv and so on, one a class; a copy without any of them is taken as it is.
    """
    classes = [f"{label:05d}" for label in range(CLASSES)]
    lists = {name: train / name / f"GT-{name}.csv" for name in classes}
    listed = [name for name in classes if lists[name].is_file()]
    expected = {f"{name}/{file}" for name in listed for file, _ in _rows(lists[name])}
    missing = sorted(set(classes) - {name.partition("/")[0] for name in found}) + sorted(expected - found)
    if listed:
        missing += [f"{name}/{lists[name].name}" for name in classes if name not in listed]
    if missing:
        raise RequestError(
            f"gtsrb: {train}: not whole: {missing[0]} is missing or empty; delete it to have it downloaded again"
        )
