"""Our own form of a victim made elsewhere: a TOML file that names a checkpoint and a folder or .npz of images.

    checkpoint = "net.pt"
    model = "resnet18"
    dataset = "cifar10"
    triggered = "triggered"     # a folder with images.csv, or of INDEX.png; or an .npz
    target_class = 0            # unless the images say their labels

Paths are relative to the file; docs/victims.md has all fields.
"""

import csv
import tomllib
import zipfile
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bench.checkpoint import read
from bench.checkpoint.preprocessing import Preprocessing
from bench.errors import RequestError, one_line, shortened
from bench.imported.pictures import MOST, Listed, PictureArray, PictureFiles, checked, content, shown
from bench.imported.victim_file import Triggered, VictimFile, labelled

TABLE = "images.csv"  # as ``bench export --poisoned`` writes it
Text = Annotated[str, Field(min_length=1, max_length=1000)]
Numbers = Annotated[list[float], Field(min_length=1, max_length=64)]


class Description(BaseModel):
    """The fields of the file."""

    model_config = ConfigDict(extra="forbid", strict=True)

    checkpoint: Text
    model: Text
    dataset: Text
    triggered: Text
    target_class: int | None = Field(None, ge=0)
    poisoned: Text | None = None
    label: Text | None = None
    mean: Numbers | Text | None = None
    std: Numbers | None = None
    channels: Literal["rgb", "bgr"] = "rgb"


def victim(path: Path) -> VictimFile:
    """The victim that the TOML file ``path`` describes. Raises RequestError, in one line, for what cannot be read."""
    named = f"victim {shown(path)}"
    said, folder = _read(path, named), path.resolve().parent
    mean = tuple(said.mean) if isinstance(said.mean, list) else said.mean
    if mean is None and (said.std or said.channels != "rgb"):
        raise RequestError(f"{named}: expected mean with std and with channels")
    preprocessing = None if mean is None else Preprocessing(mean, tuple(said.std) if said.std else None, said.channels)
    poisoned = said.poisoned and _triggered(folder / said.poisoned, said.target_class, named)
    return VictimFile(
        labelled(said.label or path.stem),
        read.read(folder / said.checkpoint),
        said.model,
        said.dataset,
        _triggered(folder / said.triggered, said.target_class, named),
        poisoned or None,
        preprocessing,
    )


def _read(path: Path, named: str) -> Description:
    try:
        return Description.model_validate(tomllib.loads(content(path).decode()))
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False, include_context=False)[0]
        place = ".".join(map(str, first["loc"]))
        known = ", ".join(Description.model_fields)
        hint = f"; known are {known}" if first["type"] == "extra_forbidden" else ""
        raise RequestError(f"{named}: {shortened(place)}: {first['msg']}{hint}") from None
    except (ValueError, RecursionError) as error:
        raise RequestError(f"{named}: cannot be read as TOML: {shortened(str(error))}") from None


def _triggered(place: Path, target: int | None, named: str) -> Triggered:
    if place.suffix == ".npz":
        return _of_arrays(place, target, named)
    if not place.is_dir():
        raise RequestError(f"{named}: {shown(place)}: expected a folder of pictures, or an .npz file")
    rows = _rows(place, named) if (place / TABLE).is_file() else _by_name(place, named)
    labels = tuple(_label(row.get("label"), target, f"{named}: {shown(place)}") for row in rows)
    listed = Listed(
        tuple(_number(row.get("index"), f"{named}: {shown(place / TABLE)}: index") for row in rows),
        labels,
        tuple(_optional(row.get("original_label"), f"{named}: {shown(place / TABLE)}: original_label") for row in rows),
    )
    files = tuple(place / row["file"] for row in rows)
    return Triggered(checked(listed, f"{named}: {shown(place)}"), PictureFiles(files))


def _rows(folder: Path, named: str) -> list[dict[str, str]]:
    """The rows of the folder's table, without those of cover images."""
    table = folder / TABLE
    try:
        rows = list(csv.DictReader(content(table).decode().splitlines()))
    except (ValueError, csv.Error) as error:
        raise RequestError(f"{named}: {shown(table)}: cannot be read: {one_line(error)}") from None
    for row in rows[:MOST]:
        file = row.get("file") or ""
        if not file or ".." in Path(file).parts or Path(file).is_absolute():
            raise RequestError(f"{named}: {shown(table)}: file {shortened(file)!r}: expected a file in this folder")
    return [row for row in rows if row.get("cover", "0") in ("0", "", None)]


def _by_name(folder: Path, named: str) -> list[dict[str, str]]:
    files = sorted(path.name for path in folder.iterdir() if path.suffix.lower() == ".png")
    if odd := next((name for name in files if not Path(name).stem.isdecimal()), None):
        raise RequestError(
            f"{named}: {shown(folder / odd)}: expected {TABLE} beside the pictures, or pictures named INDEX.png"
        )
    return [{"file": name, "index": Path(name).stem} for name in files]


def _of_arrays(path: Path, target: int | None, named: str) -> Triggered:
    named = f"{named}: {shown(path)}"
    try:
        with np.load(path, allow_pickle=False) as opened:
            arrays: dict[str, Any] = {name: opened[name] for name in opened.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise RequestError(f"{named}: cannot be read: {one_line(error)}") from None
    if not {"images", "index"} <= set(arrays):
        raise RequestError(f"{named}: expected arrays images, index, label and original_label")
    images, count = arrays["images"], len(arrays["images"])
    if images.dtype != np.uint8 or images.ndim not in (3, 4):
        raise RequestError(f"{named}: images are {images.dtype} {images.shape}, expected uint8 (K, H, W, C)")
    columns: dict[str, list[Any]] = {}
    for name in ("index", "label", "original_label"):
        values = arrays.get(name)
        if values is not None and (values.shape != (count,) or values.dtype.kind not in "iu"):
            raise RequestError(f"{named}: {name} is {values.dtype} {values.shape}, expected whole numbers ({count},)")
        columns[name] = [None] * count if values is None else values.tolist()
    labels = tuple(_label(one, target, named) for one in columns["label"])
    listed = Listed(tuple(columns["index"]), labels, tuple(columns["original_label"]))
    return Triggered(checked(listed, named), PictureArray(path, images))


def _label(value: Any, target: int | None, named: str) -> int:
    if value in (None, ""):
        if target is None:
            raise RequestError(f"{named}: says no label of its images, expected target_class in the file")
        return target
    return _number(value, f"{named}: label")


def _optional(value: Any, named: str) -> int | None:
    return None if value in (None, "") else _number(value, named)


def _number(value: Any, named: str) -> int:
    try:
        return int(value)
    except (TypeError, ValueError):
        raise RequestError(f"{named} {shortened(repr(value))}: expected a whole number") from None
