"""Cover images: they carry the trigger too and keep their labels. What the attacks that use them share."""

from collections.abc import Callable

import torch
from torch import Tensor

from bench.plugin import Attack, AttackContext, LabelledImages, Poisoned, stamp


def stamped_with_covers(
    attack: Attack,
    train: LabelledImages,
    context: AttackContext,
    cover_rate: float,
    change: Callable[[Tensor, AttackContext], Tensor],
) -> Poisoned:
    """``train`` of which the attack's poisoning rate is poisoned, and the share ``cover_rate`` is cover.

    ``change`` puts the weaker trigger of training on images (N, C, H, W) in [0, 1], in a random order.
    """
    count = round(attack.poisoning_rate * len(train))
    covers = min(round(cover_rate * len(train)), len(train) - count)
    order = torch.randperm(len(train), generator=context.generator, device=train.labels.device)
    chosen, cover = order[:count], order[count : count + covers]
    return stamp(
        train,
        chosen,
        change(train.at(chosen).floats, context),
        attack.target(train.labels[chosen]),
        cover,
        change(train.at(cover).floats, context),
    )
