"""The plugin kinds, and the values that they exchange: all that a plugin's file needs to import."""

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal, Self

import torch
from pydantic import Field
from torch import Tensor, nn

from bench.attack import Attack, Objective, as_bytes, stamp
from bench.base import Plugin
from bench.errors import RequestError
from bench.images import stratified_order
from bench.values import (
    AttackContext,
    Context,
    ImageSpec,
    Known,
    LabelledImages,
    Poisoned,
    Prediction,
    Secret,
    Splits,
)

__all__ = [
    "Attack",
    "AttackContext",
    "Case",
    "Context",
    "Dataset",
    "Defense",
    "Guard",
    "ImageSpec",
    "Known",
    "LabelledImages",
    "Model",
    "Objective",
    "Oracle",
    "Plugin",
    "Poisoned",
    "Prediction",
    "Repair",
    "Runtime",
    "Secret",
    "Splits",
    "as_bytes",
    "stamp",
]

Knowledge = Literal["none", "clean", "suspects"]
Guard = Callable[[Tensor], Prediction]


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

    def located(self, folder: Path) -> Self:
        """This data set with the parameters filled in that say which of several variants lies under ``folder``."""
        return self

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


class Oracle(Defense):
    """No defense but a column to compare with: it is told what no defender knows, and is never ranked."""

    @abstractmethod
    def reveal(self, model: nn.Module, known: Known, secret: Secret, context: Context) -> nn.Module:
        """A network made with the help of ``secret``. ``model`` is a copy in eval mode that may be changed."""


@dataclass(frozen=True)
class Case:
    """One combination that a plugin may decline."""

    dataset: Dataset
    model: Model
    attack: Attack
    defense: Defense

    @property
    def network(self) -> nn.Module:
        """An untrained network of this case's model, to look at its layers and not to change: other cases share it."""
        wanted = f"{type(self.model)} {self.model!r} {self.dataset.spec}"
        if wanted not in _untrained:
            _untrained.clear()
            _untrained[wanted] = self.model.build(self.dataset.spec)
        return _untrained[wanted]


_untrained: dict[
    str, nn.Module
] = {}  # the last one that was looked at, by its model with all parameters and its images
