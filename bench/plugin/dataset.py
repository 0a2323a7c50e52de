"""Data sets: the base class."""

import math
from abc import abstractmethod
from pathlib import Path
from typing import ClassVar, Self

import torch
from pydantic import Field
from torch import Tensor

from bench.errors import RequestError, shortened
from bench.plugin.base import Plugin
from bench.plugin.images import stratified_order
from bench.plugin.values import ImageSpec, LabelledImages, Splits

MOST_NAMED = 20  # classes that a summary names


class Dataset(Plugin):
    """A source of labelled images, with a fixed training and test split."""

    kind: ClassVar[str] = "dataset"
    flip: ClassVar[bool] = False  # whether training may mirror images: a mirror image is of the same class
    crop: ClassVar[int] = 0  # padding for random crops in training, in pixels
    class_names: ClassVar[tuple[str, ...]] = ()  # in the order of their numbers; none where the numbers say it all
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

    def summary(self, folder: Path) -> str:
        """What ``folder`` holds, on one line: the number of classes and of images, and the classes' names.

        Planning calls this: it must not load the images.
        """
        names = list(map(shortened, self.class_names))
        named = f": {', '.join(names[:MOST_NAMED])}{', …' * (len(names) > MOST_NAMED)}" * bool(names)
        return f"{self.training_images(folder)} training images in {self.spec.classes} classes{named}"

    def splits(self, folder: Path) -> Splits:
        """The result of ``load``, checked against ``spec`` and cut to ``train_size`` training images.

        Raises RequestError, which names this data set, for what is no pair of splits, for a split without images, for
        images or labels that do not fit ``spec``, for a ``spec`` or ``class_names`` that do not fit each other, and for
        a ``train_size`` that is too large.
        """
        self._check_spec()
        loaded = self.load(folder)
        if not isinstance(loaded, Splits):
            raise RequestError(f"{self._named}: load gave a {type(loaded).__name__}, expected Splits")
        self._check_split("training", loaded.train)
        self._check_split("test", loaded.test)
        if self.train_size is None:
            return loaded
        if self.train_size > len(loaded.train):
            raise RequestError(
                f"{self.name}: train_size={self.train_size}: expected at most {len(loaded.train)}, all training images"
            )
        return Splits(loaded.train.at(fixed_order(loaded.train.labels)[: self.train_size]), loaded.test)

    def prepare(self, folder: Path) -> None:
        """Download and decode what is missing under ``folder``.

        A run calls this once, before any work starts. Planning never calls it, so it may take long.
        Raises RequestError if the data are not available.
        """

    @property
    def _named(self) -> str:
        return f"dataset {self.name!r}"

    def _check_spec(self) -> None:
        spec, names = self.spec, self.class_names
        for what, values in (("mean", spec.mean), ("std", spec.std)):
            numbers = isinstance(values, tuple | list) and all(isinstance(one, int | float) for one in values)
            if not numbers or len(values) != spec.channels or not all(map(math.isfinite, values)):
                given = shortened(f"{what}={values!r}")
                raise RequestError(f"{self._named}: spec: {given}: expected {spec.channels} numbers, one for a channel")
        if min(spec.std) <= 0:
            raise RequestError(f"{self._named}: spec: std={spec.std!r}: expected positive numbers")
        if not isinstance(names, tuple | list) or not all(isinstance(one, str) for one in names):
            raise RequestError(f"{self._named}: class_names={shortened(repr(names))}: expected a tuple of texts")
        if len(names) not in (0, spec.classes):
            raise RequestError(
                f"{self._named}: class_names: {len(names)} names: expected {spec.classes}, one for a class, or none"
            )

    def _check_split(self, which: str, split: object) -> None:
        """Raise RequestError for a split that is not what ``spec`` says."""
        if not isinstance(split, LabelledImages):
            kind = type(split).__name__
            raise RequestError(f"{self._named}: the {which} split is a {kind}, expected LabelledImages")
        if not len(split):
            raise RequestError(f"{self._named}: 0 {which} images: expected 1 or more")
        if split.images.shape[1:] != self.spec.shape:
            expected = ", ".join(map(str, self.spec.shape))
            raise RequestError(
                f"{self._named}: {which} images {tuple(split.images.shape)}: expected (N, {expected}), as spec says"
            )
        low, high = int(split.labels.min()), int(split.labels.max())
        if not 0 <= low <= high < self.spec.classes:
            raise RequestError(
                f"{self._named}: {which} labels from {low} to {high}: expected 0 to {self.spec.classes - 1}"
            )


def fixed_order(labels: Tensor) -> Tensor:
    """The stratified order (N,) of a data set's training images, the same in every run.

    ``train_size`` takes the beginning of it, and a validation part is the end (``bench.plan.evaluation``).
    """
    return stratified_order(labels, torch.Generator().manual_seed(0))
