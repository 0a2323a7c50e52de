"""One attack may plant several backdoors, each with its own trigger and target: how images are dealt out among them.

An attack with one backdoor is the case of one: everything goes to it, and what it learned has no prefix.
"""

from dataclasses import replace

import torch
from torch import Tensor

from bench.plugin.attack import Attack, as_bytes
from bench.plugin.images import stratified_order
from bench.plugin.values import AttackContext, LabelledImages, Poisoned

BATCH = 1000


def deal(attack: Attack, count: int, generator: torch.Generator) -> Tensor:
    """Which backdoor each of ``count`` images is for (N,): in equal shares, at random."""
    order = torch.randperm(count, generator=generator, device=generator.device)
    return order % len(attack.backdoors())


def targets(attack: Attack, labels: Tensor, which: Tensor) -> Tensor:
    """The label (N,) that each triggered image of true class ``labels`` (N,) is to be given."""
    found = labels.clone()
    for place, part in enumerate(attack.backdoors()):
        found[which == place] = part.target(labels[which == place])
    return found


def triggered(attack: Attack, data: LabelledImages, which: Tensor, context: AttackContext) -> Tensor:
    """Triggered images (N, C, H, W) in [0, 1], of 8 bits a channel; ValueError if the attack breaks its contract."""
    found = torch.empty_like(data.images)
    parts = attack.backdoors()
    for place, part in enumerate(parts):
        own = _own(context, place, len(parts))
        for index in (which == place).nonzero()[:, 0].split(BATCH):
            images = data.at(index).floats
            found[index] = as_bytes(part.apply(images, own))
    return found.float().div_(255)


def learn(attack: Attack, train: LabelledImages, context: AttackContext) -> dict[str, Tensor]:
    """What every backdoor learns before poisoning, by name."""
    parts = attack.backdoors()
    found = [part.learn(train, context) for part in parts]
    return {
        _prefix(place, len(parts)) + name: value
        for place, part in enumerate(found)
        for name, value in part.items()
    }  # fmt: skip


def poison(attack: Attack, train: LabelledImages, context: AttackContext) -> Poisoned:
    """``train`` poisoned for every backdoor, each in a part of its own that holds all classes in their shares."""
    parts = attack.backdoors()
    if len(parts) == 1:
        return _fitting(attack.poison(train, context), train)
    order = stratified_order(train.labels, context.generator)
    images, labels = train.images.clone(), train.labels.clone()
    poisoned = torch.zeros(len(train), dtype=torch.bool, device=labels.device)
    cover = torch.zeros_like(poisoned)
    for place, part in enumerate(parts):
        index = order[place :: len(parts)]
        own = train.at(index)
        done = _fitting(part.poison(own, _own(context, place, len(parts))), own)
        images[index], labels[index] = done.data.images, done.data.labels
        poisoned[index], cover[index] = done.poisoned, done.cover
    return Poisoned(LabelledImages(images, labels), poisoned, cover)


def _own(context: AttackContext, place: int, count: int) -> AttackContext:
    """The context of one backdoor: of what was learned, its own."""
    prefix = _prefix(place, count)
    own = {name.removeprefix(prefix): value for name, value in context.learned.items() if name.startswith(prefix)}
    return replace(context, learned=own)


def _prefix(place: int, count: int) -> str:
    return f"{place}." if count > 1 else ""


def _fitting(poisoned: Poisoned, train: LabelledImages) -> Poisoned:
    if poisoned.data.images.shape != train.images.shape or len(poisoned.poisoned) != len(train):
        raise ValueError(f"poison gave {tuple(poisoned.data.images.shape)} for {tuple(train.images.shape)}")
    return poisoned
