"""BackdoorBench's ``attack_result.pt``: the weights, and where its triggered images lie beside it.

Facts of its format (version 2): a dictionary with ``model_name``, ``num_classes``, ``model`` (a state dict),
``img_size`` (height, width, channels), ``clean_data`` (the data set's name), ``bd_train`` and ``bd_test``. The last two
hold, by the index of the original, the path of a picture with its new and its own label; which of them count is said by
``original_index_array`` and ``poison_indicator``. Its networks take images that are normalised outside of them.
"""

from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from bench.checkpoint.preprocessing import Preprocessing
from bench.checkpoint.read import Checkpoint
from bench.errors import RequestError, shortened
from bench.imported.pictures import Listed, PictureFiles, checked, shown
from bench.imported.victim_file import Triggered, VictimFile, labelled

FIELDS = ("model_name", "num_classes", "img_size", "clean_data", "bd_train", "bd_test")
MODELS = {"preactresnet18": "preact_resnet18"}  # the others are torchvision's, of the same names
DATASETS = {"tiny": "tiny_imagenet"}  # the others have the names of ours
# mean and std that its networks expect
NORMALISATION: dict[str, Preprocessing] = {
    "cifar10": Preprocessing((0.4914, 0.4822, 0.4465), (0.247, 0.243, 0.261)),
    "cifar100": Preprocessing((0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762)),
    "mnist": Preprocessing((0.5,), (0.5,)),
    "tiny": Preprocessing((0.4802, 0.4481, 0.3975), (0.2302, 0.2265, 0.2262)),
    "gtsrb": Preprocessing("none"),
    "celeba": Preprocessing("none"),
    "imagenet": Preprocessing("imagenet"),
}


def is_one(checkpoint: Checkpoint) -> bool:
    """Whether a checkpoint is an attack's result of BackdoorBench."""
    return checkpoint.place == ("model",) and {"bd_test", "model_name"} <= set(checkpoint.beside)


def victim(checkpoint: Checkpoint) -> VictimFile:
    """The victim in ``checkpoint``. Its label is the name of its folder. Raises RequestError for what does not fit."""
    named, beside = f"victim {shown(checkpoint.path)}", checkpoint.beside
    if missing := [name for name in FIELDS if name not in beside]:
        raise RequestError(f"{named}: has no {missing[0]}, expected the fields {', '.join(FIELDS)}")
    name, data = _text(beside, "model_name", named), _text(beside, "clean_data", named)
    test = _triggered(beside["bd_test"], checkpoint.path, f"{named}: bd_test")
    train = beside["bd_train"] and _triggered(beside["bd_train"], checkpoint.path, f"{named}: bd_train", poisoned=True)
    return VictimFile(
        labelled(checkpoint.path.resolve().parent.name),
        checkpoint,
        MODELS.get(name, f"torchvision[name={name}]"),
        DATASETS.get(data, data),
        _needed(test, f"{named}: bd_test"),
        train or None,
        NORMALISATION.get(data),
        _size(beside["img_size"], named),
        _whole(beside["num_classes"], f"{named}: num_classes"),
    )


def _triggered(state: Any, file: Path, named: str, *, poisoned: bool = False) -> Triggered | None:
    """The pictures of one of its data sets; None if it has none.

    poisoned: of the training images only those that were given another label, if there are any: the others of an attack
    that changes labels are cover images.
    """
    try:
        container, chosen = state["bd_data_container"], [int(one) for one in state["original_index_array"]]
        marked, entries = state["poison_indicator"], container["data_dict"]
        root = container["save_folder_path"]
        known = {int(index): entry for index, entry in entries.items()}
        rows = [(index, known[index]) for index in chosen if int(marked[index]) == 1]
        found = [(index, *map(int, entry["other_info"][:2]), entry["path"]) for index, entry in rows]
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise RequestError(
            f"{named}: is not laid out as BackdoorBench 2 does: {type(error).__name__} {error}"
        ) from None
    if poisoned and any(label != original for _, label, original, _ in found):
        found = [one for one in found if one[1] != one[2]]
    if not found:
        return None
    paths = tuple(_beside(file, root, path, named) for *_, path in found)
    listed = Listed(*(tuple(one[place] for one in found) for place in range(3)))
    return Triggered(checked(listed, named), PictureFiles(paths))


def _beside(file: Path, root: Any, path: Any, named: str) -> Path:
    """Where a picture lies that was written to ``path``, in the folder ``root``, which is now beside ``file``."""
    if not isinstance(root, str) or not isinstance(path, str):
        raise RequestError(f"{named}: says no path of a picture, expected PNG files beside the victim")
    folder, place = (PurePosixPath(text.replace("\\", "/")) for text in (root, path))
    if not place.is_relative_to(folder) or ".." in place.parts:
        raise RequestError(f"{named}: the picture {shortened(path)} is not in {shortened(root)}")
    return file.resolve().parent / folder.name / place.relative_to(folder)


def _needed(test: Triggered | None, named: str) -> Triggered:
    if test is None:
        raise RequestError(f"{named}: holds no triggered images")
    return test


def _text(beside: Mapping[str, Any], name: str, named: str) -> str:
    if not isinstance(value := beside[name], str) or not value:
        raise RequestError(f"{named}: {name} is a {type(value).__name__}, expected a text")
    return value


def _whole(value: Any, named: str) -> int:
    try:
        return int(value)
    except (TypeError, ValueError):
        raise RequestError(f"{named} is {shortened(repr(value))}, expected a whole number") from None


def _size(value: Any, named: str) -> tuple[int, int]:
    try:
        height, width = (int(one) for one in list(value)[:2])
    except (TypeError, ValueError):
        raise RequestError(f"{named}: img_size is {shortened(repr(value))}, expected height and width") from None
    return height, width
