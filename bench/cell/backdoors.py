"""One attack may plant several backdoors, each with its own trigger and target: how images are assigned to them.

An attack with one backdoor is the case of one: everything goes to it, and what it learned has no prefix.
"""

from collections.abc import Sequence
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


def with_trigger(
    backdoors: Sequence[Attack],
    data: LabelledImages,
    generator: torch.Generator,
    context: AttackContext,
    candidates: Tensor | None = None,
    most: int = 0,
) -> TriggeredSet:
    """Images of ``data`` without and with a trigger, each assigned to one of an attack's ``backdoors`` at random.

    All of them; with ``candidates`` (M,), indices of images, at most the first ``most`` of these whose label the
    trigger changes. The control row changes no label: there they are any images, and false alarms if somebody
    suspects them. The context's generator is left where it stands. Raises ValueError if the attack breaks its contract.
    """
    context = replace(context, generator=context.generator.clone_state())
    contexts = [_own(context, number, len(backdoors)) for number in range(len(backdoors))]
    labels = data.labels if candidates is None else data.labels[candidates]
    assignment = assign(len(backdoors), len(labels), generator)
    wanted = targets(backdoors, labels, assignment)
    if candidates is not None:
        changed = (wanted != labels).nonzero()[:, 0]
        chosen = (changed if len(changed) else torch.arange(len(labels), device=labels.device))[:most]
        data, assignment, wanted = data.at(candidates[chosen]), assignment[chosen], wanted[chosen]
    triggered = torch.empty_like(data.images)
    for number, backdoor in enumerate(backdoors):
        for index in (assignment == number).nonzero()[:, 0].split(BATCH):
            triggered[index] = as_bytes(backdoor.apply(data.at(index).floats, contexts[number]))
    return TriggeredSet(data, triggered.float().div_(255), wanted)


def assign(backdoors: int, count: int, generator: torch.Generator) -> Tensor:
    """The number of the backdoor that each of ``count`` images is for (N,): in equal shares, at random."""
    return torch.randperm(count, generator=generator, device=generator.device) % backdoors


def targets(backdoors: Sequence[Attack], labels: Tensor, assignment: Tensor) -> Tensor:
    """The label (N,) that each triggered image of true class ``labels`` (N,) is to be given."""
    answer = labels.clone()
    for number, backdoor in enumerate(backdoors):
        answer[assignment == number] = backdoor.target(labels[assignment == number])
    return answer


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
    """``train`` poisoned for every backdoor, each in a part of its own that holds all classes in their shares.

    Raises ValueError if a backdoor is in no image, and so would never be planted.
    """
    parts = attack.backdoors()
    if len(parts) == 1:
        return _planted(attack, _fitting(attack.poison(train, context), train), train)
    order = stratified_order(train.labels, context.generator)
    images, labels = train.images.clone(), train.labels.clone()
    poisoned = torch.zeros(len(train), dtype=torch.bool, device=labels.device)
    cover = torch.zeros_like(poisoned)
    for place, part in enumerate(parts):
        index = order[place :: len(parts)]
        own = train.at(index)
        done = _planted(part, _fitting(part.poison(own, _own(context, place, len(parts))), own), own)
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


def _planted(attack: Attack, poisoned: Poisoned, train: LabelledImages) -> Poisoned:
    """What was poisoned, if anything was; an attack that controls training, and the control row, need no such image."""
    leads_elsewhere = len(train) > 0 and bool((attack.target(train.labels) != train.labels).any())
    if attack.controls == "data" and leads_elsewhere and not bool(poisoned.poisoned.any()):
        raise ValueError(
            f"{attack.name}: poisoning_rate={attack.poisoning_rate:g} of {len(train)} training images poisoned 0: "
            "expected at least 1 poisoned image"
        )
    return poisoned
