"""The options of ``bench scan`` and ``bench repair``, read in the way of all options."""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from bench.checkpoint.preprocessing import KNOWN, OWN, Numbers, Preprocessing
from bench.errors import RequestError
from bench.plan.option_types import Directory, Files, Form, Names, Number, OptionGroup, Options, Text, Whole

NETWORK = OptionGroup("The network", "Its weights are read from the checkpoint, and no code in that file is run.")
IMAGES = OptionGroup("Clean images", "Pictures that the network should know, one folder a class.")
METHODS = OptionGroup("Methods")
_NAMED = ", ".join([OWN, *KNOWN])


def _numbers(text: str) -> str:
    if text not in (OWN, *KNOWN):
        _read(text, f"numbers such as 0.5,0.5,0.5, or one of {_NAMED}")
    return text


def _only_numbers(text: str) -> str:
    _read(text, "numbers such as 0.25,0.25,0.25")
    return text


def _read(text: str, expected: str) -> Numbers:
    if not re.fullmatch(r"[0-9.eE+/-]+(,[0-9.eE+/-]+)*", text):
        raise ValueError(expected)
    values = []
    for part in text.split(","):
        above, _, below = part.partition("/")  # such as 104/255
        try:
            values.append(float(above) / float(below or 1))
        except (ValueError, ZeroDivisionError):
            raise ValueError(expected) from None
    return tuple(values)


def _size(text: str) -> str:
    if not re.fullmatch(r"[1-9][0-9]{0,3}(x[1-9][0-9]{0,3})?", text):
        raise ValueError("pixels, such as 32, or height and width such as 32x48")
    return text


class SuspectOptions(Options):
    """What a checkpoint is, and the images to judge it by."""

    model: Annotated[Text | None, Form("NAME"), NETWORK] = Field(
        None,
        description="Its architecture: resnet18, 'timm[name=…]', 'torchvision[name=…]', or a model of a --plugin file.",
    )
    mean: Annotated[Text, AfterValidator(_numbers), Form("X,X,X"), NETWORK] = Field(
        OWN,
        description=f"Mean that is taken off images in [0, 1], or one of {_NAMED}; own is what the architecture "
        "declares for its published weights, else ImageNet's.",
    )
    std: Annotated[Text | None, AfterValidator(_only_numbers), Form("X,X,X"), NETWORK] = Field(
        None, description="Standard deviation that they are divided by then."
    )
    channels: Annotated[Literal["rgb", "bgr"], NETWORK] = Field("rgb", description="Order of its channels: rgb or bgr.")
    classes: Annotated[Whole | None, NETWORK] = Field(
        None, ge=2, le=100_000, description="Number of classes (default: as its last layer has it)."
    )
    images: Annotated[Directory | None, IMAGES] = Field(
        None, description="Directory of clean pictures: a folder for each class, or flat for a scan without labels."
    )
    size: Annotated[Text | None, AfterValidator(_size), Form("PIXELS"), IMAGES] = Field(
        None, description="Side of the images that it takes, or HxW (default: that of the pictures)."
    )
    resize: Annotated[Whole | None, IMAGES] = Field(
        None,
        ge=1,
        le=4096,
        description="Scale the shorter side to this before the middle is cut out, as 256 before 224.",
    )
    plugin: Annotated[Files, METHODS] = Field((), description="A file with plugins of your own; repeatable.")
    seed: Annotated[Whole, METHODS] = Field(0, ge=0, description="Of everything random.")
    device: Annotated[Text, Form("NAME"), METHODS] = Field("auto", description="auto, cpu or cuda.")

    @property
    def pixels(self) -> tuple[int, int] | None:
        """Height and width."""
        if self.size is None:
            return None
        height, _, width = self.size.partition("x")
        return int(height), int(width or height)

    @property
    def preprocessing(self) -> Preprocessing | None:
        """What was said of it; None if nothing was."""
        if {"mean", "std", "channels"}.isdisjoint(self.model_fields_set):
            return None
        mean = self.mean if self.mean in (OWN, *KNOWN) else _read(self.mean, "numbers")
        return Preprocessing(mean, None if self.std is None else _read(self.std, "numbers"), self.channels)

    def required(self, *names: str) -> None:
        """Raise RequestError for the first of these options that was not given."""
        for name in names:
            if getattr(self, name) is None:
                raise RequestError(f"--{name}: expected it: {type(self).model_fields[name].description}")


class ScanOptions(SuspectOptions):
    defenses: Annotated[Names, METHODS] = Field(
        "all", description="Defenses that name target classes; all: every one that can be asked."
    )


class RepairOptions(SuspectOptions):
    defense: Annotated[Text | None, Form("NAME"), METHODS] = Field(
        None, description="The repair, such as tac or 'ft[epochs=10]'."
    )
    held_out: Annotated[Number, METHODS] = Field(
        0.25, gt=0, lt=1, description="Share of the images that the defense is not given, to measure accuracy on."
    )
