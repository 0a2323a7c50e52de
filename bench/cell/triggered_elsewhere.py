"""Images that were triggered elsewhere, as they are stored with their victim: its test set, and its suspects."""

from collections.abc import Mapping

import torch
from torch import Tensor

from bench.cell.backdoors import TriggeredSet
from bench.cell.scratch import Scratch
from bench.errors import Damaged
from bench.plugin import mapped
from bench.plugin.values import LabelledImages

AT_ONCE = 500  # images that are copied at once


def test_set(key: str, learned: Mapping[str, Tensor], test: LabelledImages) -> TriggeredSet:
    """All test images, and those that were triggered elsewhere with the label that they lead to.

    An image that was not triggered stands for itself, with its own label as its target, so that it counts for ACC and
    not for ASR. Raises Damaged for what is stored if it does not fit ``test``.
    """
    index, images, labels = _stored(key, learned, "test", test)
    room = Scratch(tuple(test.images.shape), test.images.device)
    for part in torch.arange(len(test), device=test.labels.device).split(AT_ONCE):
        room.put(part, mapped.rows(test.images, part))
    for part in torch.arange(len(index), device=index.device).split(AT_ONCE):
        room.put(index[part], images[part])
    targets = test.labels.clone()
    targets[index] = labels
    return TriggeredSet(test, room.images(), targets)


def drawn(
    key: str,
    learned: Mapping[str, Tensor],
    train: LabelledImages,
    reference: Tensor,
    generator: torch.Generator,
    most: int,
    classes: int,
) -> TriggeredSet:
    """At most ``most`` random training images that were triggered elsewhere, none of which is in ``reference`` (R,).

    classes: of how many random classes they are; 0 for all. Raises Damaged as ``test_set``.
    """
    index, images, labels = _stored(key, learned, "train", train)

    def shuffled(values: Tensor) -> Tensor:
        return values[torch.randperm(len(values), generator=generator, device=generator.device)]

    candidates = (~torch.isin(index, reference)).nonzero()[:, 0]
    if classes:
        kept = shuffled(train.labels[index[candidates]].unique())[:classes]
        candidates = candidates[torch.isin(train.labels[index[candidates]], kept)]
    chosen = shuffled(candidates)[:most]
    return TriggeredSet(train.at(index[chosen]), images[chosen], labels[chosen])


def _stored(key: str, learned: Mapping[str, Tensor], part: str, data: LabelledImages) -> tuple[Tensor, Tensor, Tensor]:
    """Indices (K,) among ``data``, images (K, C, H, W) and labels (K,)."""
    found = [learned.get(f"{part}.{name}") for name in ("index", "images", "labels")]
    index, images, labels = (torch.empty(0) if one is None else one for one in found)
    fits = (
        index.dtype == labels.dtype == torch.int64
        and images.dtype == torch.uint8
        and index.shape == labels.shape == images.shape[:1]
        and images.shape[1:] == data.images.shape[1:]
        and bool(((index >= 0) & (index < len(data))).all())
    )
    if not fits:
        raise Damaged("victims", key, "learned.safetensors", f"does not hold the {part} images of this data set")
    return index, images, labels
