"""Image folder: pictures of your own, in one folder for each class, or in train/ and test/ with such folders in each.

Written ``image_folder[path=DIR]``. Classes are numbered in the order of their folders' names. The middle square of
every picture is scaled to ``size``. Without train/ and test/ (or val/), a fixed stratified share of every class is for
testing.
"""

from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar

import torch
from pydantic import Field, model_validator

from bench.datasets import _pictures
from bench.datasets._decoded import Decoded, Source, fingerprint
from bench.plugin import ImageSpec, RequestError, stratified_order


class ImageFolder(Decoded):
    name: ClassVar[str] = "image_folder"
    by_name_only: ClassVar[bool] = True
    source: ClassVar[str] = "your own images"
    flip: ClassVar[bool] = False  # it is not known whether a mirror image keeps its class
    inferred: ClassVar[frozenset[str]] = frozenset({"contents"})
    path: str = Field("", description="the directory with a folder for each class, or with train/ and test/")
    size: int = Field(64, ge=8, le=512, description="side of the square images, in pixels")
    test_share: float = Field(0.2, gt=0, lt=1, description="share of every class to test with, without test/ or val/")
    contents: str = Field(
        "", description="filled in: a hash of the files, so that no result outlives a change of the pictures"
    )

    @model_validator(mode="before")
    @classmethod
    def _look(cls, given: Any) -> Any:
        """Fill in ``contents``. Whatever is wrong with the directory is reported when it is used."""
        if not isinstance(given, dict) or not isinstance(given.get("path"), str) or not given["path"]:
            return given
        root = Path(given["path"]).expanduser().absolute()
        contents = given.get("contents", "")
        with suppress(RequestError, OSError):
            contents = contents or _contents(root)
        return {**given, "path": str(root), "contents": contents}

    @property
    def crop(self) -> int:  # type: ignore[override]  # it follows from the size
        return self.size // 8

    @property
    def spec(self) -> ImageSpec:
        mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet's
        return ImageSpec(3, self.size, self.size, classes=len(self._classes()), mean=mean, std=std)

    def find(self, folder: Path) -> Source:
        root, (train, test) = Path(self.path), self._split_samples()
        if self.contents != _contents(root):
            raise RequestError(
                f"image_folder: {root}: its pictures have changed since this run was planned; start anew"
            )
        return _pictures.source(root, train, test, self.size, "crop")

    def download(self, folder: Path) -> None:
        raise RequestError(f"image_folder: path={self.path}: nothing to download")

    def _classes(self) -> list[str]:
        """The names of the classes. Raises RequestError for fewer than two."""
        if not self.path:
            raise RequestError("image_folder: path is not set: expected image_folder[path=DIR]")
        root = Path(self.path)
        if not root.is_dir():
            raise RequestError(
                f"image_folder: path={root}: expected a directory with a folder of pictures for each class"
            )
        train, _ = self._split_folders()
        classes = _pictures.folders(root / train)
        if len(classes) < 2:
            raise RequestError(
                f"image_folder: path={root / train}: expected a folder of pictures for each of two or more classes, "
                f"found {', '.join(classes) or 'none'}"
            )
        return classes

    def _split_folders(self) -> tuple[str, str | None]:
        """The folders below ``path`` that hold the training and the test classes; None if we have to split them."""
        present = _pictures.folders(Path(self.path))
        if "train" not in present or not _pictures.folders(Path(self.path) / "train"):
            return "", None
        test = next((name for name in ("test", "val") if name in present), None)
        if test is None:
            raise RequestError(f"image_folder: path={self.path}: no test split: expected test/ or val/ beside train/")
        return "train", test

    def _split_samples(self) -> tuple[list[_pictures.Sample], list[_pictures.Sample]]:
        """The training and the test pictures with their labels."""
        classes = self._classes()
        train, test = self._split_folders()
        samples = self._samples(train, classes)
        if test is not None:
            unknown = [name for name in _pictures.folders(Path(self.path) / test) if name not in classes]
            if unknown:
                raise RequestError(
                    f"image_folder: path={self.path}: {test}/{unknown[0]}: there is no train/{unknown[0]}"
                )
            return samples, self._samples(test, classes)
        labels = torch.tensor([label for _, label in samples])
        order = stratified_order(labels, torch.Generator().manual_seed(0)).tolist()
        cut = len(order) - max(1, round(self.test_share * len(order)))
        if cut < 1:
            raise RequestError(
                f"image_folder: test_share={self.test_share}: leaves none of {len(order)} images for training"
            )
        return [samples[index] for index in order[:cut]], [samples[index] for index in order[cut:]]

    def _samples(self, split: str, classes: list[str]) -> list[_pictures.Sample]:
        """The pictures of every class below the folder ``split``. Raises RequestError for a class without any."""
        samples: list[_pictures.Sample] = []
        for label, name in enumerate(classes):
            folder = f"{split}/{name}".lstrip("/")
            files = _pictures.pictures(Path(self.path), folder)
            if not files:
                kinds = ", ".join(_pictures.KINDS)
                raise RequestError(f"image_folder: {self.path}/{folder}: holds no picture; expected {kinds}")
            samples += [(file, label) for file in files]
        return samples


def _contents(root: Path) -> str:
    return fingerprint(root, _pictures.pictures(root))[:8]
