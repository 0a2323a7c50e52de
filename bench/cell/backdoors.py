"""One attack may plant several backdoors, each with its own trigger and target: how images are assigned to them.

An attack with one backdoor is the case of one: everything goes to it, and what it learned has no prefix.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from bench.plugin.attack import Attack, as_bytes
from bench.plugin.images import stratified_order
from bench.plugin.values import AttackContext, LabelledImages, Poisoned

BATCH = 1000


@dataclass(frozen=True)
class TriggeredSet:
    """N images without and with the trigger, and the class that it is to lead each of them to."""

    originals: LabelledImages
    images: Tensor  # (N, C, H, W) in [0, 1], of 8 bits a channel
    targets: Tensor  # (N,)

    def __len__(self) -> int:
        return len(self.targets)

    @property
    def eligible(self) -> Tensor:
        """Whether the trigger changes the label (N,): only these images count for ASR and RA."""
        return self.targets != self.originals.labels


def assign(attack: Attack, count: int, generator: torch.Generator) -> Tensor:
    """The number of the backdoor that each of ``count`` images is for (N,): in equal shares, at random."""
    order = torch.randperm(count, generator=generator, device=generator.device)
    return order % len(attack.backdoors())


def targets(attack: Attack, labels: Tensor, assignment: Tensor) -> Tensor:
    """The label (N,) that each triggered image of true class ``labels`` (N,) is to be given."""
    answer = labels.clone()
    for number, backdoor in enumerate(attack.backdoors()):
        answer[assignment == number] = backdoor.target(labels[assignment == number])
    return answer


def with_trigger(attack: Attack, data: LabelledImages, assignment: Tensor, context: AttackContext) -> TriggeredSet:
    """``data`` with the triggers of the backdoors that ``assignment`` (N,) says.

    Raises ValueError if the attack breaks its contract.
    """
    triggered = torch.empty_like(data.images)
    parts = attack.backdoors()
    for number, backdoor in enumerate(parts):
        own = _own(context, number, len(parts))
        for index in (assignment == number).nonzero()[:, 0].split(BATCH):
            triggered[index] = as_bytes(backdoor.apply(data.at(index).floats, own))
    return TriggeredSet(data, triggered.float().div_(255), targets(attack, data.labels, assignment))


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
