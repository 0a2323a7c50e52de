"""What a victim and its defenses are evaluated on: the test images, or a validation part of the training images.

Settings are chosen on the validation part, so that the test images decide nothing. It is the end of the fixed order
whose beginning ``train_size`` takes, the same in every run.
"""

from bench.errors import RequestError
from bench.plugin.dataset import Dataset

SHARE = 0.1  # of all training images
WORDS = {"test": "", "validation": "evaluated on the validation part"}  # in headings


def validation_size(available: int) -> int:
    """The number of images in the validation part of ``available`` training images, which are 2 or more."""
    return max(1, round(SHARE * available))


def whole(source: Dataset) -> Dataset:
    """The data set with all its training images."""
    return source.model_copy(update={"train_size": None})


def left_to_train(source: Dataset, available: int) -> int:
    """How many of a data set's ``available`` training images a victim trains on when a validation part is taken out.

    Raises RequestError, which names the data set, if there are too few of them.
    """
    rest = available - validation_size(available)
    if rest < 1:
        raise RequestError(f"{source.name}: {available} training images: expected 2 or more with a validation part")
    if source.train_size is not None and source.train_size > rest:
        raise RequestError(
            f"{source.name}: train_size={source.train_size}: expected at most {rest}, the training images beside the "
            "validation part"
        )
    return source.train_size or rest
