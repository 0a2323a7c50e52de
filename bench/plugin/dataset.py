"""Data sets: the base class."""

from abc import abstractmethod
from pathlib import Path
from typing import ClassVar, Self

import torch
from pydantic import Field

from bench.errors import RequestError
from bench.plugin.base import Plugin
from bench.plugin.images import stratified_order
from bench.plugin.values import ImageSpec, Splits


class Dataset(Plugin):
    """A source of labelled images, with a fixed training and test split."""

    kind: ClassVar[str] = "dataset"
    flip: ClassVar[bool] = False  # whether training may mirror images: a mirror image is of the same class
    crop: ClassVar[int] = 0  # padding for random crops in training, in pixels
    train_size: int | None = Field(None, ge=1, description="use the first n training images of a stratified order")

    @property
    @abstractmethod
    def spec(self) -> ImageSpec:
        """Shape, number of classes and normalisation of the images, without a download."""

    @abstractmethod
    def load(self, folder: Path) -> Splits:
        """The whole data set from the files in ``folder``, in torchvision's layout. Callers use ``splits``."""

    def located(self, folder: Path) -> Self:
        """This data set with those parameters filled in that say what variant of it ``folder`` holds."""
        return self

    def training_images(self, folder: Path) -> int:
        """The number of training images in ``splits``. Planning calls this: override it to avoid loading the images."""
        return self.train_size or len(self.splits(folder).train)

    def splits(self, folder: Path) -> Splits:
        """The result of ``load``, checked against ``spec`` and cut to ``train_size`` training images.

        Raises ValueError for images that do not fit ``spec``, and RequestError for a ``train_size`` that is too large.
        """
        loaded = self.load(folder)
        for split in (loaded.train, loaded.test):
            if split.images.shape[1:] != self.spec.shape or not 0 <= int(split.labels.max()) < self.spec.classes:
                raise ValueError(f"{self.name}: loaded images {tuple(split.images.shape)} do not fit {self.spec}")
        if self.train_size is None:
            return loaded
        if self.train_size > len(loaded.train):
            raise RequestError(
                f"{self.name}: train_size={self.train_size}: expected at most {len(loaded.train)}, all training images"
            )
        order = stratified_order(loaded.train.labels, torch.Generator().manual_seed(0))
        return Splits(loaded.train.at(order[: self.train_size]), loaded.test)

    def prepare(self, folder: Path) -> None:
        """Download and decode what is missing under ``folder``.

        A run calls this once, before any work starts. Planning never calls it, so it may take long.
        Raises RequestError if the data are not available.
        """
