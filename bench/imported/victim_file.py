"""A victim made elsewhere, as its files say: a network's weights, and triggered images of a known data set."""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from bench.checkpoint.preprocessing import Preprocessing
from bench.checkpoint.read import Checkpoint
from bench.imported.pictures import Listed, Pictures, content


@dataclass(frozen=True)
class Triggered:
    """Triggered images: what is listed of them, and their pixels."""

    listed: Listed
    pictures: Pictures


@dataclass(frozen=True)
class VictimFile:
    """What the files of a victim hold.

    label: its name in tables. weights: of its network. model, dataset: selections of one plugin each. test: triggered
    test images. train: the poisoned training images; None where the file has none. preprocessing: what its network
    does to images before the first layer; None for the mean and std of the data set. size: height and width of the
    images, for a data set with a parameter of that name; None for its own. classes: None where it is not said.
    """

    label: str
    weights: Checkpoint
    model: str
    dataset: str
    test: Triggered
    train: Triggered | None = None
    preprocessing: Preprocessing | None = None
    size: tuple[int, int] | None = None
    classes: int | None = None

    @cached_property
    def digest(self) -> str:
        """A hash of the content of all files and of what is said of them, but not of where they lie or of the label."""
        total = hashlib.sha256()
        parts = [self.test, *([self.train] if self.train else [])]
        said: list[Any] = [self.model, self.dataset, self.size, self.classes, _plain(self.preprocessing)]
        total.update(json.dumps([*said, *[part.listed.plain for part in parts]], sort_keys=True).encode())
        for path in (self.weights.path, *(path for part in parts for path in part.pictures.files)):
            total.update(hashlib.sha256(content(path)).digest())
        return total.hexdigest()[:32]


def labelled(text: str) -> str:
    """A text as a label: letters, digits, ``_``, ``.`` and ``-``, so that it can stand among attacks in a table."""
    return re.sub(r"[^\w.-]+", "_", text)[:60].strip("_") or "victim"


def label_map(listed: Listed, classes: int) -> Mapping[str, Any]:
    """The parameters of an attack that leads images as they are listed."""
    targets = sorted(set(listed.labels))
    if len(targets) == 1:
        return {"label_map": "all-to-one", "target_class": targets[0]}
    pairs = zip(listed.labels, listed.originals, strict=True)
    if all(original is not None and label == (original + 1) % classes for label, original in pairs):
        return {"label_map": "all-to-all"}
    return {"label_map": "several", "targets": targets}


def _plain(preprocessing: Preprocessing | None) -> Any:
    if preprocessing is None:
        return None
    return [preprocessing.mean, preprocessing.std, preprocessing.order]
