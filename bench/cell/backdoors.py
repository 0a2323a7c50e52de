"""The backdoors of an attack, each with its own trigger and target, and how images are assigned to them.

Most attacks plant a single backdoor. Every image is then assigned to it, and the names of what it learned carry no
prefix.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from bench.cell.scratch import Scratch
from bench.plugin import mapped
from bench.plugin.attack import Attack, as_bytes
from bench.plugin.images import images_at_once, stratified_order
from bench.plugin.values import AttackContext, LabelledImages, Poisoned

BATCH = 1000  # images of at most 64x64 pixels that get their trigger at once


@dataclass(frozen=True)
class TriggeredSet:
    """N images without and with the trigger, and the target of each.

    pixels: the triggered images (N, C, H, W) uint8, which may lie in a file (``bench.plugin.mapped``): take them by
    number. targets: (N,).
    """

    originals: LabelledImages
    pixels: Tensor
    targets: Tensor

    def __len__(self) -> int:
        return len(self.targets)

    @property
    def eligible(self) -> Tensor:
        """Whether the trigger changes the label (N,) bool: only these images count for ASR and RA."""
        return self.targets != self.originals.labels

    def inputs(self, index: Tensor) -> Tensor:
        """Inputs by number, float32 (K, C, H, W) in [0, 1]: below N the originals, from N on the triggered images.

        ``index`` (K,) holds integers in [0, 2N).
        """
        triggered = index >= len(self)
        pixels = self.pixels.new_empty((len(index), *self.pixels.shape[1:]))
        pixels[~triggered] = mapped.rows(self.originals.images, index[~triggered])
        pixels[triggered] = mapped.rows(self.pixels, index[triggered] - len(self))
        return pixels.float().div_(255)

    def triggered(self, index: Tensor) -> Tensor:
        """Triggered images, float32 (K, C, H, W) in [0, 1], by number: integers (K,) or a mask (N,) bool."""
        return mapped.rows(self.pixels, index).float().div_(255)

    def pairs(self, index: Tensor, most: int) -> Iterator[tuple[Tensor, Tensor]]:
        """The images of these numbers (K,) without and with the trigger, as floats, batch by batch.

        ``most``: in a batch, of images of at most 64x64 pixels; of larger ones there are fewer.
        """
        for part in index.split(images_at_once(most, *self.pixels.shape[2:])):
            yield self.originals.at(part).floats, self.triggered(part)


def with_trigger(
    backdoors: Sequence[Attack],
    data: LabelledImages,
    generator: torch.Generator,
    context: AttackContext,
    candidates: Tensor | None = None,
    most: int = 0,
) -> TriggeredSet:
    """Images of ``data`` without and with a trigger, each assigned to one of an attack's ``backdoors`` at random.

    Without ``candidates`` these are all images of ``data``. ``candidates`` (M,) are indices of images: then at most
    ``most`` of them are taken, the first whose label the trigger changes. If the trigger changes no label at all, as in
    the control row, the first ``most`` candidates are taken instead. ``context.generator`` is not advanced. Raises
    ValueError if the attack breaks its contract.
    """
    context = replace(context, generator=context.generator.clone_state())
    contexts = [_context_of(number, len(backdoors), context) for number in range(len(backdoors))]
    labels = data.labels if candidates is None else data.labels[candidates]
    assignment = assign(len(backdoors), len(labels), generator)
    new_labels = targets(backdoors, labels, assignment)
    if candidates is not None:
        changed = (new_labels != labels).nonzero()[:, 0]
        chosen = (changed if len(changed) else torch.arange(len(labels), device=labels.device))[:most]
        data, assignment, new_labels = data.at(candidates[chosen]), assignment[chosen], new_labels[chosen]
    room = Scratch(tuple(data.images.shape), data.images.device)
    for number, backdoor in enumerate(backdoors):
        for index in (assignment == number).nonzero()[:, 0].split(images_at_once(BATCH, *data.images.shape[2:])):
            room.put(index, as_bytes(backdoor.apply(data.at(index).floats, contexts[number])))
    return TriggeredSet(data, room.images(), new_labels)


def assign(backdoors: int, count: int, generator: torch.Generator) -> Tensor:
    """Assign ``count`` images to backdoors at random, in equal numbers: the number of each image's backdoor (N,)."""
    return torch.randperm(count, generator=generator, device=generator.device) % backdoors


def targets(backdoors: Sequence[Attack], labels: Tensor, assignment: Tensor) -> Tensor:
    """The target (N,) of every image of true class ``labels`` (N,), by the backdoor that it is assigned to (N,)."""
    new_labels = labels.clone()
    for number, backdoor in enumerate(backdoors):
        own = labels[assignment == number]
        new_labels[assignment == number] = _labels(backdoor.target(own), own, backdoor)
    return new_labels


def _labels(given: Any, own: Tensor, backdoor: Attack) -> Tensor:
    """What a backdoor's ``target`` has given for images of these classes (N,), if it is one label for each."""
    if isinstance(given, Tensor) and given.shape == own.shape and given.dtype == own.dtype:
        return given
    tensor = isinstance(given, Tensor)
    got = f"{given.dtype} {tuple(given.shape)}".removeprefix("torch.") if tensor else f"a {type(given).__name__}"
    raise ValueError(f"{backdoor.name}: target gave {got}, expected int64 {tuple(own.shape)}")


def learn(attack: Attack, train: LabelledImages, context: AttackContext) -> dict[str, Tensor]:
    """What every backdoor of ``attack`` learns before poisoning, by name. Several backdoors have a prefix each."""
    backdoors = attack.backdoors()
    learned = [backdoor.learn(train, context) for backdoor in backdoors]
    return {
        _prefix(number, len(backdoors)) + name: value
        for number, values in enumerate(learned)
        for name, value in values.items()
    }


def poison(attack: Attack, train: LabelledImages, context: AttackContext) -> Poisoned:
    """``train`` poisoned for every backdoor of ``attack``.

    Several backdoors poison a part of ``train`` each. The parts do not overlap, and all of them hold the classes in the
    same proportions. Raises ValueError if the attack returns images of another shape or number, or if a backdoor is in
    no image, and so would never be planted.
    """
    backdoors = attack.backdoors()
    if len(backdoors) == 1:
        return _planted(attack, _checked(attack.poison(train, context), train), train)
    order = stratified_order(train.labels, context.generator)
    images, labels = mapped.copied(train.images), train.labels.clone()
    poisoned = torch.zeros(len(train), dtype=torch.bool, device=labels.device)
    cover = torch.zeros_like(poisoned)
    for number, backdoor in enumerate(backdoors):
        index = order[number :: len(backdoors)]
        part = train.at(index)
        result = _checked(backdoor.poison(part, _context_of(number, len(backdoors), context)), part)
        result = _planted(backdoor, result, part)
        images[index], labels[index] = result.data.images, result.data.labels
        poisoned[index], cover[index] = result.poisoned, result.cover
    return Poisoned(LabelledImages(images, labels), poisoned, cover)


def _context_of(number: int, count: int, context: AttackContext) -> AttackContext:
    """The context of backdoor ``number`` of ``count``, which holds what this backdoor learned and nothing else."""
    prefix = _prefix(number, count)
    learned = {name.removeprefix(prefix): value for name, value in context.learned.items() if name.startswith(prefix)}
    return replace(context, learned=learned)


def _prefix(number: int, count: int) -> str:
    return f"{number}." if count > 1 else ""


def _checked(poisoned: Poisoned, train: LabelledImages) -> Poisoned:
    if poisoned.data.images.shape != train.images.shape or len(poisoned.poisoned) != len(train):
        raise ValueError(f"poison gave {tuple(poisoned.data.images.shape)} for {tuple(train.images.shape)}")
    return poisoned


def _planted(attack: Attack, poisoned: Poisoned, train: LabelledImages) -> Poisoned:
    """What was poisoned, if anything was; an attack that controls training, and the control row, need no such image."""
    leads_elsewhere = len(train) > 0 and bool((attack.target(train.labels) != train.labels).any())
    if attack.controls == "data" and leads_elsewhere and not bool(poisoned.poisoned.any()):
        raise ValueError(
            f"{attack.name}: poisoning_rate={attack.poisoning_rate:g} of {len(train)} training images poisoned 0: "
            "expected at least 1 poisoned image"
        )
    return poisoned
