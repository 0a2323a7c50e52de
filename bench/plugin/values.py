"""The values that the harness and its plugins exchange: labelled images, predictions, knowledge and contexts."""

import math
import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, SupportsFloat

import torch
from torch import Tensor, nn

from bench.plugin import mapped
from bench.records import notes

Knowledge = Literal["none", "clean", "suspects"]  # what a defender is given


def a_kind(value: object) -> str:
    """What sort of value a plugin gave, for messages: None, an OrderedDict, a Tensor."""
    kind = type(value).__name__
    return "None" if value is None else f"a{'n' * (kind[0] in 'AEIOaeio')} {kind}"


@dataclass(frozen=True)
class ImageSpec:
    """Shape of a data set's images, number of its classes, and each channel's mean and standard deviation in [0, 1].

    crop, flip: how training may vary the images, as for ``augment``; None where the data set does not say so here.
    """

    channels: int
    height: int
    width: int
    classes: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    crop: int | None = None
    flip: bool | None = None

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W)."""
        return self.channels, self.height, self.width


@dataclass(frozen=True)
class LabelledImages:
    """Images (N, C, H, W) uint8 in 0..255 and labels (N,) int64, on one device.

    The images may lie in a file that is mapped into memory (``bench.plugin.mapped``): ``at`` takes some of them without
    keeping the others resident.
    """

    images: Tensor
    labels: Tensor

    def __post_init__(self) -> None:
        if self.images.dtype != torch.uint8 or self.images.ndim != 4:
            raise ValueError(f"images must be uint8 (N, C, H, W), got {self.images.dtype} {tuple(self.images.shape)}")
        if self.labels.dtype != torch.int64 or self.labels.shape != self.images.shape[:1]:
            raise ValueError(f"labels must be int64 (N,), got {self.labels.dtype} {tuple(self.labels.shape)}")

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def floats(self) -> Tensor:
        """The images as float32 (N, C, H, W) in [0, 1]."""
        floats = self.images.float().div_(255)
        mapped.give_back(self.images)
        return floats

    @property
    def example(self) -> Tensor:
        """The first image as float32 (1, C, H, W) in [0, 1]: an input to trace a network's layers with."""
        return self.images[:1].float() / 255

    def at(self, index: Tensor) -> "LabelledImages":
        """A copy of the images that ``index`` selects: integers (K,) or a mask (N,) bool."""
        return LabelledImages(mapped.rows(self.images, index), self.labels[index])

    def to(self, device: torch.device) -> "LabelledImages":
        return LabelledImages(mapped.moved(self.images, device), self.labels.to(device))


@dataclass(frozen=True)
class Splits:
    """A data set: labelled images to train with and to test with."""

    train: LabelledImages
    test: LabelledImages


@dataclass(frozen=True)
class Poisoned:
    """A poisoned training set. ``poisoned`` and ``cover`` are masks (N,) bool.

    A poisoned image carries the trigger; a cover image was changed too but keeps its own label.
    """

    data: LabelledImages
    poisoned: Tensor
    cover: Tensor


@dataclass(frozen=True)
class Prediction:
    """What a network or a guard predicts for N images.

    logits: (N, C). score: (N,), how suspicious each image is, higher is more; None if it is not judged. flagged: (N,)
    bool, whether the image is taken for triggered; None if it is not judged.
    """

    logits: Tensor
    score: Tensor | None = None
    flagged: Tensor | None = None


@dataclass(frozen=True)
class Known:
    """What a defender has: only what the defense's ``knowledge`` declares.

    clean: labelled clean reference images, or None.
    suspects: suspected images (M, C, H, W) in [0, 1] without labels, or None; a budget may have clean ones among them.
    originals: the clean original (M, C, H, W) of every suspected image, for a defense with ``wants_pairs``, or None; a
    clean suspect is its own.
    No reference image is the original of a suspected image.
    """

    clean: LabelledImages | None = None
    suspects: Tensor | None = None
    originals: Tensor | None = None

    def reference(self) -> LabelledImages:
        """The clean images. Raises LookupError if the defense's ``knowledge`` does not declare them."""
        if self.clean is None:
            raise LookupError("this defense declares knowledge = 'none' but asks for clean images")
        return self.clean


@dataclass(frozen=True)
class Secret:
    """What only an oracle knows, and no defender.

    originals: clean training images that are not in the reference set and whose label the trigger changes.
    triggered: the same images with the trigger, (M, C, H, W) in [0, 1]. targets: the target of each, (M,).
    Without a trigger all three are empty.
    retrained: returns a fresh network of the victim's architecture, trained by its recipe on the clean training set.
    """

    originals: LabelledImages
    triggered: Tensor
    targets: Tensor
    retrained: Callable[[], nn.Module]


@dataclass(frozen=True)
class Context:
    """Where a plugin runs, and how it reports. It holds no attack, no test image and no target.

    What is only shown never fails a stage: ``progress`` takes a share beyond [0, 1] for the nearer bound and passes
    over what is no number, ``log`` takes anything for a line, cut to a length, with nothing in it that steers a
    terminal. What becomes a figure is checked: the ``note`` methods refuse what does not fit. The lines of ``log`` and
    the notes of a defense become part of the cell's record; of an attack, the lines do.
    """

    device: torch.device
    generator: torch.Generator  # on ``device``, seeded from the key of the stage
    progress: Callable[[float], None] = lambda share: None  # share of the work done, in [0, 1]
    log: Callable[[str], None] = lambda line: None  # a line for the reader of the table, such as "nothing was found"
    diagnostics: dict[str, Any] = field(default_factory=dict)  # what was noted; checked again when the record is made

    def __post_init__(self) -> None:
        if not isinstance(self.progress, _Progress):
            object.__setattr__(self, "progress", _Progress(self.progress))

    def part(self, first: float, last: float, of: float = 1) -> "Context":
        """This context for a part of the work, whose progress of 0 to 1 is ``first`` to ``last`` here, of ``of``."""
        return replace(self, progress=lambda share: self.progress((first + (last - first) * share) / of))

    def note(self, name: str, value: Any) -> None:
        """Put a value into the record: a finite number, a string, a bool, None, or lists and dictionaries of them.

        The keys of dictionaries are strings. Tensors and numpy values become plain numbers; a copy is kept. Raises
        ValueError or TypeError, with the note's name, for anything else, for what is too deep, too long or too much
        (``bench.records.notes``), and for a ``name`` that is reserved for another method or for the harness.
        """
        if isinstance(name, str) and name in RESERVED:
            raise ValueError(f"note {name!r}: expected another name; this one is reserved for {RESERVED[name]}")
        self.diagnostics[name] = notes.free(name, value)

    def note_class_statistic(self, name: str, values: Sequence[float], flagged: Iterable[int]) -> None:
        """Put a defense's statistic of every class into the record, for the report's figure of class statistics.

        name: of the statistic, for the axis. values: one for each class (C,), NaN or infinite where there is none.
        flagged: the classes that the defense takes for targets. Raises ValueError or TypeError for a class beyond
        ``values``, and for values that are no numbers or larger than 1e30.
        """
        numbers = [_number("class_statistic", value) for value in _listed("class_statistic", values)]
        statistic = {
            "name": name,
            "values": [value if math.isfinite(value) else None for value in numbers],  # JSON knows no infinity
            "flagged": sorted({_whole("class_statistic", label) for label in _listed("class_statistic", flagged)}),
        }
        self.diagnostics["class_statistic"] = notes.typed("class_statistic", statistic)

    def note_latent_shifts(self, shifts: Mapping[int, Tensor]) -> None:
        """Put a defense's estimates of the trigger's effect on the latent into the record, to five digits.

        shifts: by target class, the change (d,) of the latent before the last linear layer. The harness compares it
        with the true change. Raises ValueError or TypeError for a shift of another shape, of numbers that are not
        finite, or of another length than the others.
        """
        kept = {}
        for label, shift in shifts.items():
            if not isinstance(shift, Tensor):
                raise TypeError(f"shift of class {label}: expected a tensor (d,), got a {type(shift).__name__}")
            if shift.ndim != 1 or shift.layout != torch.strided or not shift.is_floating_point():
                raise ValueError(f"shift of class {label}: expected (d,), got {tuple(shift.shape)} {shift.dtype}")
            digits = [float(f"{value:.5g}") for value in shift.tolist()]
            kept[str(_whole("latent_shifts", label))] = digits
        self.diagnostics["latent_shifts"] = notes.typed("latent_shifts", kept)

    def note_activations(self, channels: Mapping[int, Sequence[Mapping[str, Any]]]) -> None:
        """Put histograms of some channels' activations into the record, for the report's figure of activations.

        channels: by target class, up to eight, each with the fields of ``bench.records.note_types.ChannelActivations``.
        Raises ValueError or TypeError for anything else.
        """
        kept = {str(_whole("activations", label)): list(map(dict, some)) for label, some in channels.items()}
        self.diagnostics["activations"] = notes.typed("activations", kept)


RESERVED = {
    "class_statistic": "note_class_statistic",
    "latent_shifts": "note_latent_shifts",
    "activations": "note_activations",
    "trigger_pictures": "note_trigger_picture",
    "shift_truth": "the harness",
    "stream_curve": "the harness",
}


@dataclass(frozen=True)
class _Progress:
    """Passes a share on, within [0, 1], if it is a number."""

    show: Callable[[float], None]

    def __call__(self, share: float) -> None:
        given: object = share  # of any type: the caller is a plugin
        try:
            done = float(given) if isinstance(given, SupportsFloat) else math.nan
        except Exception:  # of a tensor of several numbers, for one
            return
        if not math.isnan(done):
            self.show(min(1.0, max(0.0, done)))


def _listed(note: str, values: Any) -> list[Any]:
    """A sequence, a tensor or an array as a list."""
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise TypeError(f"note {note!r}: got a {type(values).__name__}, expected one value for each class")
    return list(values.tolist() if isinstance(values, Tensor) else values)


def _number(note: str, value: object) -> float:
    """A number, or a tensor or numpy value of one, as a float."""
    if isinstance(value, bool) or not isinstance(value, SupportsFloat):
        raise TypeError(f"note {note!r}: got a {type(value).__name__} among the values, expected numbers")
    return float(value)


def _whole(note: str, label: Any) -> int:
    """A class as an int."""
    try:
        return operator.index(label)
    except TypeError:
        raise TypeError(f"note {note!r}: got a {type(label).__name__} for a class, expected a whole number") from None


@dataclass(frozen=True)
class AttackContext(Context):
    """An attack's context: also the images' spec, what this attack learned, and a clean model to attack.

    ``surrogate(share)`` returns the clean model: a network of the victim's architecture, trained on the clean training
    set by the victim's recipe, cut to ``share`` of its epochs in (0, 1], but to at least one. It is in eval mode and
    must not be changed. At inference ``surrogate`` is None.
    """

    spec: ImageSpec = field(kw_only=True)
    learned: Mapping[str, Tensor] = field(default_factory=dict, kw_only=True)
    surrogate: Callable[[float], nn.Module] | None = field(default=None, kw_only=True)

    def clean_model(self, share: float) -> nn.Module:
        """``surrogate(share)``. Raises LookupError at inference."""
        if self.surrogate is None:
            raise LookupError("a clean model is available only until the victim's training begins")
        return self.surrogate(share)
