"""Image folder: pictures of your own, in one folder for each class, or in train/ and test/ with such folders in each.

Written ``image_folder[path=DIR]``. Training/, Test/, val/ and the like are known too. Classes are numbered by name,
class2 before class10. The middle square of every picture, turned upright, is scaled to ``size``; 16 bits become 8, and
transparent parts show ``background``. Without splits a fixed stratified share of every class is for testing. A run says
what it found and what it left out.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, model_validator

from bench.datasets import _image_folder_layout, _pictures
from bench.datasets._decoded import Decoded, EncodedSplit, Source
from bench.datasets._image_folder_digest import digest
from bench.datasets._image_folder_layout import Tree
from bench.plugin import ImageSpec, RequestError, stratified_order


class ImageFolder(Decoded):
    name: ClassVar[str] = "image_folder"
    version: ClassVar[int] = 3
    places: ClassVar[frozenset[str]] = frozenset({"path"})  # copies are alike: ``contents`` says which pictures it has
    by_name_only: ClassVar[bool] = True
    source: ClassVar[str] = "your own images"
    flip: ClassVar[bool] = False  # it is not known whether a mirror image keeps its class
    inferred: ClassVar[frozenset[str]] = frozenset({"contents"})
    path: str = Field("", description="the directory with a folder for each class, or with train/ and test/")
    size: int = Field(64, ge=8, le=512, description="side of the square images, in pixels")
    test_share: float = Field(0.2, gt=0, lt=1, description="share of every class to test with, without test/ or val/")
    background: Literal["white", "black", "grey"] = Field("white", description="what transparent parts show")
    contents: str = Field(
        "", description="filled in: a hash of the pictures, so that no result outlives a change of them"
    )

    @model_validator(mode="before")
    @classmethod
    def _look(cls, given: Any) -> Any:
        """Fill in ``contents``. Whatever is wrong with the directory is reported when it is used."""
        if not isinstance(given, dict) or not isinstance(given.get("path"), str) or not given["path"]:
            return given
        try:
            root = Path(given["path"]).expanduser().absolute()
        except RuntimeError as error:  # ~name of a user that does not exist
            raise ValueError(f"path={given['path']}: {error}") from error
        contents = given.get("contents", "")
        with suppress(RequestError, OSError):
            contents = contents or digest(root, _image_folder_layout.walk(root).files)
        return {**given, "path": str(root), "contents": contents}

    @property
    def crop(self) -> int:  # type: ignore[override]  # it follows from the size
        return self.size // 8

    @property
    def spec(self) -> ImageSpec:
        mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet's
        classes = len(_image_folder_layout.layout(self._root).classes)
        return ImageSpec(3, self.size, self.size, classes=classes, mean=mean, std=std, crop=self.crop, flip=self.flip)

    def prepare(self, folder: Path) -> None:
        super().prepare(folder)
        _say(f"image_folder: {_pictures.shown(self.path)}: {self.summary(folder)}")

    @property
    def class_names(self) -> tuple[str, ...]:  # type: ignore[override]  # they follow from the directory
        return tuple(map(_pictures.shown, _image_folder_layout.layout(self._root).classes))

    def summary(self, folder: Path) -> str:
        """One line: the classes, how many pictures each split has of them, and what was left out."""
        tree = _image_folder_layout.walk(self._root)
        train, test = (Counter(label for _, label in samples) for samples in self._split(tree))
        classes = ", ".join(f"{name} {train[label]}+{test[label]}" for label, name in enumerate(self.class_names))
        left_out = ", ".join(f"{count} {sort}" for sort, count in sorted(tree.left_out.items()))
        return (
            f"{train.total()} training and {test.total()} test images in {len(tree.layout.classes)} classes: {classes}"
            + (f"; left out: {left_out}" if left_out else "")
        )

    def find(self, folder: Path) -> Source:
        root = self._root
        tree = _image_folder_layout.walk(root)
        train, test = self._split(tree)
        self._check(tree)
        found = _pictures.source(
            root, train, test, self.size, "crop", upright=True, background=self.background, digest=self.contents
        )

        def read() -> tuple[EncodedSplit, EncodedSplit]:
            first, second = found.read()
            return first, replace(second, images=self._checked_after(second.images, tree))

        return replace(found, read=read)

    def download(self, folder: Path) -> None:
        raise RequestError(f"image_folder: path={_pictures.shown(self.path)}: nothing to download")

    @property
    def _root(self) -> Path:
        if not self.path:
            raise RequestError("image_folder: path is not set: expected image_folder[path=DIR]")
        return Path(self.path)

    def _check(self, tree: Tree) -> None:
        """Raise RequestError unless the pictures are those that the plan was made for."""
        if self.contents != digest(self._root, tree.files):
            raise RequestError(
                f"image_folder: {_pictures.shown(self.path)}: its pictures have changed since this run was planned; "
                "start anew"
            )

    def _checked_after(self, images: Iterable[NDArray[np.uint8]], tree: Tree) -> Iterator[NDArray[np.uint8]]:
        """``images``, and then another look at the pictures: they may have changed while they were decoded."""
        yield from images
        self._check(tree)

    def _split(self, tree: Tree) -> tuple[list[_pictures.Sample], list[_pictures.Sample]]:
        """The training and the test pictures with their labels."""
        if tree.test is not None:
            return tree.train, tree.test
        labels = torch.tensor([label for _, label in tree.train])
        order = stratified_order(labels, torch.Generator().manual_seed(0)).tolist()
        cut = len(order) - max(1, round(self.test_share * len(order)))
        if cut < 1:
            raise RequestError(
                f"image_folder: test_share={self.test_share}: leaves none of {len(order)} images for training"
            )
        return [tree.train[index] for index in order[:cut]], [tree.train[index] for index in order[cut:]]


def _say(line: str) -> None:
    """Print a line for whoever started the run, on standard error, where results are not."""
    from rich.console import Console

    Console(stderr=True, soft_wrap=True, markup=False, highlight=False, emoji=False).print(line)
