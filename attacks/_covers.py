"""Poisoning with cover images: images that are changed as well but keep their labels."""

from collections.abc import Callable

import torch
from torch import Tensor

from bench.plugin import Attack, AttackContext, LabelledImages, Poisoned, stamp


def poison_with_covers(
    attack: Attack,
    train: LabelledImages,
    context: AttackContext,
    *,
    covers: int,
    trigger: Callable[[Tensor], Tensor],
    cover: Callable[[Tensor, LabelledImages], Tensor],
) -> Poisoned:
    """``train`` with the attack's poisoning rate of its images poisoned, and ``covers`` others turned into covers.

    covers: number of cover images; cut to the number of images that are not poisoned.
    trigger: images to poison (K, C, H, W) in [0, 1], in a random order, to the same with the trigger of training.
    cover: images (L, C, H, W) in [0, 1], and for each of them some other training image, to the cover images. It is
    called after ``trigger``.
    """
    count = round(attack.poisoning_rate * len(train))
    covers = min(covers, len(train) - count)
    order = torch.randperm(len(train), generator=context.generator, device=train.labels.device)
    chosen, covered = order[:count], order[count : count + covers]
    others = train.at(order.roll(covers)[count : count + covers])
    return stamp(
        train,
        chosen,
        trigger(train.at(chosen).floats),
        attack.target(train.labels[chosen]),
        covered,
        cover(train.at(covered).floats, others),
    )
