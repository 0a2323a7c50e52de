"""What a victim is made of, in words that stand in its folder, and a hash of the images that it was trained on."""

import hashlib
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor

from bench.plan.recipes import recipe
from bench.plan.stages import ImportedVictim, VictimStage, applied_by
from bench.plugin import mapped
from bench.plugin.values import ImageSpec, Poisoned

AT_ONCE = 500  # images that are hashed at once: large ones lie in a file


def made_of(stage: VictimStage, spec: ImageSpec) -> dict[str, Any]:
    """Data set, architecture, attack and recipe of a victim with all their parameters, and what its images are.

    As plain values, for ``stage.json`` (``bench.store.facts.MadeOf``). spec: of the images, with the mean and the
    standard deviation that the network normalises with.
    """
    parts = {
        kind: {"name": ref.name, "label": ref.label, "version": ref.version, "parameters": ref.parameters}
        for kind, ref in stage.refs.items()
    }
    images = {name: value for name, value in asdict(spec).items() if name not in ("crop", "flip")}
    if (applied := applied_by(stage)) is not None:
        images |= asdict(applied)
    return {
        "title": stage.title,
        **parts,
        "recipe": {"name": stage.recipe, "parameters": _recipe(stage)},
        "seed": stage.seed,
        "profile": stage.profile,
        "evaluated_on": stage.evaluate,
        "images": images,
    }


def _recipe(stage: VictimStage) -> dict[str, Any]:
    return {} if isinstance(stage, ImportedVictim) else recipe(stage.recipe).identity


def training_digest(poisoned: Poisoned) -> str:
    """The SHA-256, in hexadecimal digits, of a poisoned training set: all labels and masks, and every changed image.

    It is the same on every device.
    """
    changed = poisoned.poisoned | poisoned.cover
    total = hashlib.sha256()
    for part in (poisoned.data.labels, poisoned.poisoned, poisoned.cover):
        total.update(_bytes(part))
    for index in changed.nonzero()[:, 0].split(AT_ONCE):
        total.update(_bytes(mapped.rows(poisoned.data.images, index)))
    return total.hexdigest()


def _bytes(values: Tensor) -> bytes:
    return values.cpu().contiguous().view(torch.uint8).numpy().tobytes()
