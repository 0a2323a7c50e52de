"""What is handed from stage to stage: labelled images, predictions, and what a plugin is told."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class ImageSpec:
    """Shape of a data set's images, its number of classes, and the statistics to normalise with."""

    channels: int
    height: int
    width: int
    classes: int
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W)."""
        return self.channels, self.height, self.width


@dataclass(frozen=True)
class LabelledImages:
    """Images (N, C, H, W) uint8 in 0..255 and labels (N,) int64, on one device."""

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
        return self.images.float().div_(255)

    @property
    def example(self) -> Tensor:
        """The first image as float32 (1, C, H, W) in [0, 1]: what a network is run on to see its layers at work."""
        return self.images[:1].float() / 255

    def at(self, index: Tensor) -> "LabelledImages":
        """The images that ``index`` (integers or a mask) selects."""
        return LabelledImages(self.images[index], self.labels[index])

    def to(self, device: torch.device) -> "LabelledImages":
        return LabelledImages(self.images.to(device), self.labels.to(device))


@dataclass(frozen=True)
class Splits:
    """What a data set loads: labelled images to train with and to test with."""

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
    """What a (guarded) network says of a batch: logits (N, C), and where it judges its input, a score
    (N,), higher is more suspicious, and a verdict ``flagged`` (N,) bool."""

    logits: Tensor
    score: Tensor | None = None
    flagged: Tensor | None = None


@dataclass(frozen=True)
class Known:
    """What a defender has in hand: nothing but what the defense's ``knowledge`` declares.

    clean: labelled clean reference images, or None.
    suspects: suspected images (M, C, H, W) in [0, 1] without labels, or None.
    originals: for a defense with ``wants_pairs``, the clean image behind every suspected one.
    The three never share an image, but for originals and suspects.
    """

    clean: LabelledImages | None = None
    suspects: Tensor | None = None
    originals: Tensor | None = None

    def reference(self) -> LabelledImages:
        """The clean images; an error in the plugin if its ``knowledge`` does not declare them."""
        if self.clean is None:
            raise LookupError("this defense declares knowledge = 'none' but asks for clean images")
        return self.clean


@dataclass(frozen=True)
class Secret:
    """What only an oracle is told: no defender knows it.

    originals, triggered: further clean images of the training split that the trigger leads elsewhere, and the same with
    the trigger, (M, C, H, W) in [0, 1]; targets (M,): where it leads them. All are empty where there is no trigger.
    retrained: trains a fresh network of the victim's architecture by its recipe on the clean training set.
    """

    originals: LabelledImages
    triggered: Tensor
    targets: Tensor
    retrained: Callable[[], nn.Module]


@dataclass(frozen=True)
class Context:
    """Where a plugin runs, and its ways to speak. It holds no attack, no test image and no target.

    What is told by ``log`` and noted by the other methods is kept in the record of the cell.
    """

    device: torch.device
    generator: torch.Generator  # on ``device``; seeded from the key of the stage that runs
    progress: Callable[[float], None] = lambda share: None  # share of the work done, in [0, 1]
    log: Callable[[str], None] = lambda line: None  # a line for the reader of the table, such as "nothing was found"
    diagnostics: dict[str, Any] = field(default_factory=dict)

    def note(self, name: str, value: Any) -> None:
        """Keep a figure in the record: numbers, strings, lists and dictionaries of them.

        Raises ValueError for a name that belongs to one of the typed methods, or to the harness.
        """
        if name in RESERVED:
            raise ValueError(f"note {name!r}: expected another name; this one is kept for {RESERVED[name]}")
        self.diagnostics[name] = value

    def note_class_statistic(self, name: str, values: Sequence[float], flagged: Iterable[int]) -> None:
        """Keep what a defense computed of every class, for the report's figure of class statistics.

        name: what the statistic is, for the axis; values (C,): a number a class, NaN or infinite where there is none;
        flagged: the classes taken for targets. Raises ValueError for a flagged class that has no value.
        """
        numbers = [float(value) if math.isfinite(value) else None for value in values]  # JSON knows no infinity
        classes = sorted(int(label) for label in flagged)
        if any(not 0 <= label < len(numbers) for label in classes):
            raise ValueError(f"flagged {classes}: expected classes below {len(numbers)}, for which there are values")
        self.diagnostics["class_statistic"] = {"name": str(name), "values": numbers, "flagged": classes}

    def note_latent_shifts(self, shifts: Mapping[int, Tensor]) -> None:
        """Keep shifts (d,) of the latent before the last linear layer, by target class, which the defense believes to
        be the trigger's. Five digits are kept; the harness compares them with the true change.

        Raises ValueError for a shift of another shape.
        """
        for label, shift in shifts.items():
            if shift.ndim != 1:
                raise ValueError(f"shift of class {label}: expected (d,), got {tuple(shift.shape)}")
        self.diagnostics["latent_shifts"] = {
            str(label): [float(f"{value:.5g}") for value in shift.tolist()] for label, shift in shifts.items()
        }


RESERVED = {
    "class_statistic": "note_class_statistic",
    "latent_shifts": "note_latent_shifts",
    "shift_truth": "the harness",
    "stream_curve": "the harness",
}


@dataclass(frozen=True)
class AttackContext(Context):
    """An attack's context: also the images' spec, what this attack learned, and a way to a clean model.

    ``surrogate(share)`` is a clean model, in eval mode and not to be changed: a network of the victim's architecture,
    trained on the clean training set by the victim's recipe, cut to ``share`` of its epochs (at least one). It
    is there until the victim's training begins, and None at inference.
    """

    spec: ImageSpec = field(kw_only=True)
    learned: Mapping[str, Tensor] = field(default_factory=dict, kw_only=True)
    surrogate: Callable[[float], nn.Module] | None = field(default=None, kw_only=True)

    def clean_model(self, share: float) -> nn.Module:
        """``surrogate(share)``; LookupError at inference."""
        if self.surrogate is None:
            raise LookupError("there is a clean model only until the victim's training begins")
        return self.surrogate(share)
