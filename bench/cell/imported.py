"""Make a victim whose network was trained elsewhere: its files are read once, and what they hold goes into the store.

The triggered images stand in the place of what an attack learned, so that its cells need the store alone.
"""

from typing import cast

import torch
from torch import Tensor

from bench.cell.loaded import LoadedVictim
from bench.cell.made_of import made_of
from bench.cell.put_victim import put_victim
from bench.cell.workshop import Workshop
from bench.checkpoint import fit
from bench.checkpoint.preprocessed import Preprocessed
from bench.imported.read import read
from bench.imported.victim_file import Triggered
from bench.plan.stages import ImportedVictim
from bench.plugin.values import LabelledImages
from bench.provenance import now
from bench.records import LogLines


def make_imported(stage: ImportedVictim, workshop: Workshop) -> LogLines:
    """Read the victim's files, predict, and put the victim into the store.

    Raises ValueError or RequestError, in one line, for files that have changed since the plan was made, and for
    triggered images that are not of the data set.
    """
    started, file, log = now(), read(stage.file), LogLines()
    if file.digest != stage.digest:
        raise ValueError(f"victim {stage.file}: its files have changed since this run was planned; start anew")
    victim = LoadedVictim.open(stage, workshop)
    spec, named = victim.dataset.spec, f"victim {stage.file}"
    images = {"test": _images(file.test, victim.test, f"{named}: triggered test images")}
    if file.train is not None:
        images["train"] = _images(file.train, victim.train, f"{named}: poisoned training images")
    network = cast(Preprocessed, workshop.build(stage))
    fit.load(network.net, file.weights.tensors, spec.classes)
    network.eval().to(memory_format=torch.channels_last)
    known = {
        "train_seconds": float("nan"),
        "precision": "float32",  # as its makers have evaluated it
        "n_poisoned": len(file.train.listed) if file.train else 0,
        "n_cover": 0,
        "made_of": made_of(stage, spec),
        "log": log.text,
        "started": started,
    }
    learned = {f"{part}.{name}": value for part, values in images.items() for name, value in values.items()}
    put_victim(victim, network, learned, known)
    return log


def _images(triggered: Triggered, clean: LabelledImages, named: str) -> dict[str, Tensor]:
    """Triggered images with the indices of their originals among ``clean`` and their labels, by name."""
    listed = triggered.listed
    if max(listed.indices) >= len(clean):
        raise ValueError(
            f"{named}: index {max(listed.indices)}: expected below {len(clean)}, the images of the data set"
        )
    for index, original in zip(listed.indices, listed.originals, strict=True):
        if original is not None and original != (own := int(clean.labels[index])):
            raise ValueError(
                f"{named}: image {index} is of class {original}, in the data set of class {own}: expected triggered "
                "images of this data set, in its order"
            )
    channels, height, width = clean.images.shape[1:]
    return {
        "images": triggered.pictures.pixels((channels, height, width)),
        "index": torch.tensor(listed.indices),
        "labels": torch.tensor(listed.labels),
    }
