"""The plugin kind of the data sets."""

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
    flip: ClassVar[bool] = False  # whether the mirror image of an image is of the same class
    crop: ClassVar[int] = 0  # pixels of padding for random crops
    train_size: int | None = Field(None, ge=1, description="use the first n training images of a stratified order")

    @property
    @abstractmethod
    def spec(self) -> ImageSpec:
        """Shape, classes and normalisation of the images; known before anything is downloaded."""

    @abstractmethod
    def load(self, folder: Path) -> Splits:
        """The whole data set. ``folder`` holds what was downloaded, in torchvision's layout."""

    def located(self, folder: Path) -> Self:
        """This data set with the parameters filled in that tell which of several variants ``folder`` holds."""
        return self

    def training_images(self, folder: Path) -> int:
        """The number of training images in ``splits``. Planning asks for it: override it to answer without loading."""
        return self.train_size or len(self.splits(folder).train)

    def splits(self, folder: Path) -> Splits:
        """What ``load`` gives, checked against ``spec``, with the first ``train_size`` images for training.

        Raises ValueError for images that do not fit ``spec``, RequestError for a ``train_size`` that is too large.
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
        """Make sure that the data are under ``folder``: look for them, and download and decode what is missing.

        A run calls this once before any work starts; it may take as long as a download. Planning never calls it.
        Raises RequestError if the data are not available.
        """
