"""What every data set does: images and labels as its spec says, the same every time, cut in a fixed order."""

from typing import Any

import torch

from bench.errors import one_line
from bench.plugin.values import ImageSpec, LabelledImages
from bench.testing.dataset_trials import absent, loaded, trial
from bench.testing.properties import Family, Inapplicable, Unmet
from bench.testing.subject import Subject

FAMILY = Family("dataset")


@FAMILY.property("splits", "training and test images as its spec says, with labels below its number of classes")
def splits(subject: Subject) -> str:
    made = trial(subject)
    if (why := absent(made)) is not None:
        raise Inapplicable(f"its files are not in {made.folder}: {why}")
    if made.seen.error is not None:
        raise Unmet(one_line(made.seen.error))
    _, found = loaded(subject)
    return f"{len(found.train)} training and {len(found.test)} test images"


@FAMILY.property("spec", "an ImageSpec of positive sizes, with a mean and a deviation for each channel")
def spec(subject: Subject) -> str:
    made = trial(subject)
    if (why := absent(made)) is not None and not _has_spec(made.dataset):
        raise Inapplicable(f"it follows from files that are not in {made.folder}: {why}")
    given: Any = made.dataset.spec
    if not isinstance(given, ImageSpec):
        raise Unmet(f"a {type(given).__name__}")
    if not all(type(size) is int and size > 0 for size in (*given.shape, given.classes)):
        raise Unmet(f"sizes {given.shape} and {given.classes} classes")
    if len(given.mean) != given.channels or len(given.std) != given.channels:
        raise Unmet(f"mean={given.mean} and std={given.std} for {given.channels} channels")
    return f"{given.channels}x{given.height}x{given.width}, {given.classes} classes"


@FAMILY.property("normalisation", "a mean and deviation in [0, 1] that are about those of the training images")
def normalisation(subject: Subject) -> str:
    made, found = loaded(subject)
    pixels = found.train.at(torch.arange(0, len(found.train), max(1, len(found.train) // 500))).floats
    for channel, (mean, std) in enumerate(zip(made.dataset.spec.mean, made.dataset.spec.std, strict=True)):
        true_mean, true_std = float(pixels[:, channel].mean()), float(pixels[:, channel].std())
        if abs(mean - true_mean) > 0.25 or not 0.25 * true_std < std < max(4 * true_std, 0.05):
            raise Unmet(f"mean={mean:.3g} and std={std:.3g}", f"about {true_mean:.3g} and {true_std:.3g}")
    return ""


@FAMILY.property("classes", "every class among the training and the test images")
def classes(subject: Subject) -> str:
    made, found = loaded(subject)
    for which, part in (("training", found.train), ("test", found.test)):
        count = len(part.labels.unique())
        if count != made.dataset.spec.classes:
            raise Unmet(f"{count} of {made.dataset.spec.classes} among the {which} images")
    return f"{made.dataset.spec.classes}"


@FAMILY.property("repeats", "the same images and labels every time")
def repeats(subject: Subject) -> str:
    made, found = loaded(subject)
    again = made.dataset.splits(made.folder)
    for which in ("train", "test"):
        if not _equal(getattr(found, which), getattr(again, which)):
            raise Unmet(f"another {which} split the second time")
    return ""


@FAMILY.property("count", "training_images as many as are loaded")
def count(subject: Subject) -> str:
    made, found = loaded(subject)
    said = made.dataset.training_images(made.folder)
    if said != len(found.train):
        raise Unmet(f"{said}, and {len(found.train)} were loaded")
    return str(said)


@FAMILY.property("train-size", "train_size takes the first images of one fixed order, and all test images")
def train_size(subject: Subject) -> str:
    made, found = loaded(subject)
    size = max(1, len(found.train) // 2)
    few, fewer = (made.dataset.model_copy(update={"train_size": n}).splits(made.folder) for n in (size, size // 2 or 1))
    if len(few.train) != size or not _equal(few.train.at(torch.arange(len(fewer.train))), fewer.train):
        raise Unmet(f"{len(few.train)} and {len(fewer.train)} images that are no beginning of one order")
    if not _equal(few.test, found.test):
        raise Unmet("other test images")
    return f"{size} images"


@FAMILY.property("summary", "one line on what there is, without a download")
def summary(subject: Subject) -> str:
    made, _ = loaded(subject)
    line: Any = made.dataset.summary(made.folder)
    if not isinstance(line, str) or not line.strip() or "\n" in line:
        raise Unmet(repr(line))
    return repr(line[:60])


def _has_spec(dataset: Any) -> bool:
    try:
        return isinstance(dataset.spec, ImageSpec)
    except Exception:  # where it follows from the files
        return False


def _equal(one: LabelledImages, other: LabelledImages) -> bool:
    return torch.equal(one.images, other.images) and torch.equal(one.labels, other.labels)
