"""The types of the notes that have a meaning of their own. They are written and read by these and by nothing else.

A figure of a note is null in JSON, and NaN here, where there is nothing to measure.
"""

import math
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, RootModel, model_validator

from bench.records.columns import Number, within
from bench.records.texts import printable

LARGEST = 1e30  # of a figure: the axes of what is larger cannot be drawn
MOST_CLASSES, MOST_PARTS = 100_000, 1000
MOST_CHANNELS, MOST_BINS = 8, 400
MOST_PICTURES, LARGEST_PICTURE = 12, 100_000  # of a cell; characters of one
_LONGEST_NAME = 60  # characters of a statistic's name


def _defined(value: Any) -> Any:
    return None if isinstance(value, float) and math.isinf(value) else value


_Label = Annotated[str, Field(pattern=r"^(0|[1-9][0-9]{0,8})$")]  # a class, as JSON has it for a key
_Class = Annotated[int, Field(ge=0, lt=MOST_CLASSES)]
_Finite = Annotated[float, Field(ge=-LARGEST, le=LARGEST, allow_inf_nan=False)]
_Figure = Annotated[Number, BeforeValidator(_defined), within(-LARGEST, LARGEST)]
_Share = Annotated[Number, BeforeValidator(_defined), within(0, 1)]
_Signed = Annotated[Number, BeforeValidator(_defined), within(-1, 1)]
_Length = Annotated[Number, BeforeValidator(_defined), within(0, LARGEST)]


class _Note(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class ClassStatistic(_Note):
    """A number a class, NaN where there is none, and the classes that the defense took for targets."""

    name: Annotated[str, AfterValidator(lambda name: printable(name, _LONGEST_NAME))]
    values: list[_Figure] = Field(min_length=1, max_length=MOST_CLASSES)
    flagged: list[_Class] = Field(max_length=MOST_CLASSES)

    @model_validator(mode="after")
    def _of_these_classes(self) -> "ClassStatistic":
        if any(label >= len(self.values) for label in self.flagged):
            raise ValueError(f"flagged {self.flagged}: expected classes below {len(self.values)}, the number of values")
        return self


class LatentShifts(RootModel[dict[_Label, list[_Finite]]]):
    """By target class, the change (d,) of the latent that a defense took for the trigger's. All have the same d."""

    model_config = ConfigDict(strict=True, frozen=True)

    @model_validator(mode="after")
    def _of_one_latent(self) -> "LatentShifts":
        lengths = {len(shift) for shift in self.root.values()}
        if len(lengths) > 1 or 0 in lengths:
            given = ", ".join(map(str, sorted(lengths)))
            raise ValueError(f"shifts of {given} numbers: expected one length for all, of 1 or more")
        return self


class Agreement(_Note):
    """How well a reconstructed shift agrees with the true change of the latent; NaN where that is not defined."""

    cosine: _Signed
    correlation: _Signed
    length: _Length  # of the reconstructed shift, in lengths of the true change


class ShiftTruth(RootModel[dict[_Label, Agreement]]):
    """The agreement of each target class's shift."""

    model_config = ConfigDict(strict=True, frozen=True)


class ChannelActivations(_Note):
    """Histograms of one channel's activations: shares in bins of ``width`` from ``low`` on, in standard deviations.

    clean and triggered: of images without and with a trigger; aligned: of the latter in the repaired network.
    """

    layer: Annotated[str, AfterValidator(lambda name: printable(name, _LONGEST_NAME))]
    channel: Annotated[int, Field(ge=0, lt=2**31)]
    low: _Finite
    width: Annotated[float, Field(gt=0, le=LARGEST, allow_inf_nan=False)]
    clean: list[_Share] = Field(min_length=1, max_length=MOST_BINS)
    triggered: list[_Share]
    aligned: list[_Share]

    @model_validator(mode="after")
    def _of_the_same_bins(self) -> "ChannelActivations":
        lengths = [len(self.clean), len(self.triggered), len(self.aligned)]
        if len(set(lengths)) > 1:
            raise ValueError(f"{', '.join(map(str, lengths))} shares: expected one for each bin in all three lists")
        return self


class Activations(RootModel[dict[_Label, Annotated[list[ChannelActivations], Field(max_length=MOST_CHANNELS)]]]):
    """By target class, the activations of some channels."""

    model_config = ConfigDict(strict=True, frozen=True)


class TriggerPicture(_Note):
    """An image without a reconstructed trigger, with it, and the change between them, side by side.

    kind: how the trigger changes images, such as "patch". png: the picture, in base64.
    """

    target: _Class
    kind: Annotated[str, AfterValidator(lambda name: printable(name, _LONGEST_NAME))]
    png: str = Field(max_length=LARGEST_PICTURE, pattern=r"^iVBORw0KGgo[A-Za-z0-9+/]*=*$")  # PNG's own beginning


class TriggerPictures(RootModel[Annotated[list[TriggerPicture], Field(max_length=MOST_PICTURES)]]):
    """Triggers that a defense has reconstructed."""

    model_config = ConfigDict(strict=True, frozen=True)


class StreamCurve(_Note):
    """For each part of a stream the triggered inputs that had passed at its end, and its ACC, ASR and RA."""

    triggered: list[Annotated[int, Field(ge=0, le=2**53)]] = Field(min_length=1, max_length=MOST_PARTS)
    acc: list[_Share]
    asr: list[_Share]
    ra: list[_Share]

    @model_validator(mode="after")
    def _of_the_same_parts(self) -> "StreamCurve":
        lengths = [len(self.triggered), len(self.acc), len(self.asr), len(self.ra)]
        if len(set(lengths)) > 1:
            raise ValueError(f"{', '.join(map(str, lengths))} values: expected one for each part in all four lists")
        return self


KINDS: dict[str, type[BaseModel]] = {
    "class_statistic": ClassStatistic,
    "latent_shifts": LatentShifts,
    "activations": Activations,
    "trigger_pictures": TriggerPictures,
    "shift_truth": ShiftTruth,
    "stream_curve": StreamCurve,
}
BY_HARNESS = frozenset({"shift_truth", "stream_curve"})  # the others are noted by defenses
