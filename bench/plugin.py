"""The plugin kinds, and the small types that they exchange.

A plugin is a frozen pydantic model: its fields are its parameters, with their bounds. A plugin holds no
state; what it learns is a value that the harness keeps for it.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from bench.errors import RequestError
from bench.images import stratified_order

Knowledge = Literal["none", "clean", "suspects"]
Guard = Callable[[Tensor], "Prediction"]


# --- what is handed from stage to stage --------------------------------------------------------------


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
class Context:
    """Where a plugin runs, and its ways to speak. It holds no attack, no test image and no target."""

    device: torch.device
    generator: torch.Generator  # on ``device``; seeded from the key of the stage that runs
    progress: Callable[[float], None] = lambda share: None  # share of the work done, in [0, 1]
    log: Callable[[str], None] = lambda line: None
    diagnostics: dict[str, Any] = field(default_factory=dict)

    def note(self, name: str, value: Any) -> None:
        """Keep a figure in the record: numbers, strings, lists and dictionaries of them."""
        self.diagnostics[name] = value


@dataclass(frozen=True)
class AttackContext(Context):
    """An attack's context: also the images' spec, and what this attack learned before training."""

    spec: ImageSpec = field(kw_only=True)
    learned: Mapping[str, Tensor] = field(default_factory=dict, kw_only=True)


# --- the plugin kinds --------------------------------------------------------------------------------


class Plugin(BaseModel, ABC):
    """Base of every plugin kind. A subclass sets ``name``, and raises ``version`` when its results change."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="constants")

    kind: ClassVar[str]
    name: ClassVar[str]
    version: ClassVar[int] = 1
    source: ClassVar[str] = ""

    def resolve(self, spec: ImageSpec) -> Self:
        """This plugin with the parameters filled in that follow from the images; raises RequestError
        where a parameter does not fit them."""
        return self

    def unsupported(self, case: "Case") -> str | None:
        """Why this plugin cannot be applied to ``case``, or None if it can."""
        return None


class Dataset(Plugin):
    """A source of labelled images, with a fixed training and test split."""

    kind: ClassVar[str] = "dataset"
    flip: ClassVar[bool] = False  # is an image's mirror image of the same class?
    crop: ClassVar[int] = 0  # pixels of padding for random crops
    train_size: int | None = Field(None, ge=1, description="use the first n training images of a stratified order")

    @property
    @abstractmethod
    def spec(self) -> ImageSpec: ...

    @abstractmethod
    def load(self, folder: Path) -> Splits:
        """The whole data set. ``folder`` is where downloads lie, in torchvision's layout."""

    def training_images(self, folder: Path) -> int:
        """How many training images ``splits`` gives; a data set that knows without loading says so here."""
        return self.train_size or len(self.splits(folder).train)

    def splits(self, folder: Path) -> Splits:
        """What ``load`` gives, checked against ``spec``, with the first ``train_size`` images for training."""
        loaded = self.load(folder)
        for part in (loaded.train, loaded.test):
            if part.images.shape[1:] != self.spec.shape or not 0 <= int(part.labels.max()) < self.spec.classes:
                raise ValueError(f"{self.name}: loaded images {tuple(part.images.shape)} do not fit {self.spec}")
        if self.train_size is None:
            return loaded
        if self.train_size > len(loaded.train):
            raise RequestError(
                f"{self.name}: train_size={self.train_size}: expected at most {len(loaded.train)}, all training images"
            )
        order = stratified_order(loaded.train.labels, torch.Generator().manual_seed(0))
        return Splits(loaded.train.at(order[: self.train_size]), loaded.test)

    def check(self, folder: Path) -> None:
        """Raise RequestError, quickly, if the data are not there."""


class Model(Plugin):
    """An architecture."""

    kind: ClassVar[str] = "model"

    @abstractmethod
    def build(self, spec: ImageSpec) -> nn.Module:
        """A freshly initialised network: images (N, C, H, W) in [0, 1] to logits (N, classes)."""


class Attack(Plugin):
    """A backdoor attack by poisoning. All-to-one and all-to-all, dirty-label, unless a subclass says otherwise."""

    kind: ClassVar[str] = "attack"
    label_map: Literal["all-to-one", "all-to-all"] = Field(
        "all-to-one", description="every class to target_class, or class y to (y+1) mod classes"
    )
    target_class: int = Field(0, ge=0, description="the class that the trigger leads to (all-to-one)")
    poisoning_rate: float = Field(0.1, gt=0, lt=1, description="poisoned images, as a share of the whole training set")
    classes: int | None = Field(None, ge=2, description="number of classes; filled in from the data set")

    def resolve(self, spec: ImageSpec) -> Self:
        if self.target_class >= spec.classes:
            raise RequestError(
                f"{self.name}: target_class={self.target_class}: expected a class below {spec.classes} of this data set"
            )
        if self.classes not in (None, spec.classes):
            raise RequestError(f"{self.name}: classes={self.classes}: the data set has {spec.classes}")
        return self.model_copy(update={"classes": spec.classes})

    def learn(self, train: LabelledImages, context: AttackContext) -> Mapping[str, Tensor]:
        """What the attack fixes before it poisons: a picture, a warping field, an optimised trigger.

        It is stored with the victim and handed back as ``context.learned``.
        """
        return {}

    @abstractmethod
    def trigger(self, images: Tensor, context: AttackContext) -> Tensor:
        """``images`` (N, C, H, W) in [0, 1] with the trigger: same shape and range; pure, batched."""

    def target(self, labels: Tensor) -> Tensor:
        """The label (N,) that a triggered image of true class ``labels`` (N,) is to be given."""
        if self.label_map == "all-to-all":
            if self.classes is None:
                raise ValueError("all-to-all needs the number of classes")
            return (labels + 1) % self.classes
        return torch.full_like(labels, self.target_class)

    def poison(self, train: LabelledImages, context: AttackContext) -> Poisoned:
        """``train`` with the share ``poisoning_rate`` of its images triggered and labelled as the target."""
        count = round(self.poisoning_rate * len(train))
        chosen = torch.randperm(len(train), generator=context.generator, device=train.labels.device)[:count]
        return stamp(train, chosen, self.trigger(train.at(chosen).floats, context), self.target(train.labels[chosen]))


def stamp(train: LabelledImages, chosen: Tensor, triggered: Tensor, labels: Tensor) -> Poisoned:
    """``train`` with the images at ``chosen`` (K,) replaced by ``triggered`` (K, C, H, W) and ``labels`` (K,)."""
    images, new_labels = train.images.clone(), train.labels.clone()
    images[chosen], new_labels[chosen] = as_bytes(triggered), labels
    poisoned = torch.zeros(len(train), dtype=torch.bool, device=images.device)
    poisoned[chosen] = True
    return Poisoned(LabelledImages(images, new_labels), poisoned, torch.zeros_like(poisoned))


def as_bytes(images: Tensor) -> Tensor:
    """Images in [0, 1] as uint8 0..255: a triggered image is a picture like any other, 8 bits a channel."""
    return images.mul(255).round_().clamp_(0, 255).to(torch.uint8)


class Defense(Plugin):
    """Base of the two kinds of defense. ``knowledge`` says what the defender must be given."""

    kind: ClassVar[str] = "defense"
    knowledge: ClassVar[Knowledge] = "clean"

    @property
    def wants_pairs(self) -> bool:
        """Whether the clean original of every suspected image is wanted too."""
        return False


class Repair(Defense):
    """A defense that changes the network."""

    @abstractmethod
    def repair(self, model: nn.Module, known: Known, context: Context) -> nn.Module:
        """A repaired network. ``model`` is a copy in eval mode that may be changed."""


class Runtime(Defense):
    """A defense that guards inference and leaves the network as it is."""

    @property
    def learns_from_stream(self) -> bool:
        """Whether the guard learns from what it sees: it is then given one input at a time, in a fixed order."""
        return False

    @abstractmethod
    def guard(self, model: nn.Module, known: Known, context: Context) -> Guard:
        """A callable: images (N, C, H, W) in [0, 1] to a Prediction; the same at any batch size."""


@dataclass(frozen=True)
class Case:
    """One combination that a plugin may decline."""

    dataset: Dataset
    model: Model
    attack: Attack
    defense: Defense

    @cached_property
    def network(self) -> nn.Module:
        """An untrained network of this case's model, to look at its layers."""
        return self.model.build(self.dataset.spec)
