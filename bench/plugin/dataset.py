"""The plugin kind of the data sets."""

from abc import abstractmethod
from pathlib import Path
from typing import ClassVar, Self

import torch
from pydantic import Field

from bench.errors import RequestError
from bench.plugin.base import Plugin
from bench.plugin.images import stratified_order
from bench.plugin.values import (
    ImageSpec,
    Splits,
)


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

    def prepare(self, folder: Path) -> None:
        """See to it that the data are there before any work starts: look for them, download what can be downloaded.

        It may take as long as a download does. Raises RequestError if the data cannot be had.
        """
