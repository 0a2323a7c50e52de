"""BppAttack: the trigger is a lower colour depth, hidden by dithering.

Wang, Zhai, Ma, "BppAttack: Stealthy and Efficient Trojan Attacks against Deep Neural Networks via Image Quantization
and Contrastive Adversarial Learning", CVPR 2022, arXiv 2205.13383. Every channel is squeezed to few levels, 8 in common
settings, and Floyd and Steinberg's dithering hands each pixel's error on to its neighbours. Negative images keep their
labels: to each is added what quantisation changed in *another* image, so that the trigger is the quantisation and not
noise of its size. This is the attack by poisoning alone: the authors draw poison and negatives anew in every batch.
"""

from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from bench.plugin import Attack, AttackContext, LabelledImages, Poisoned, stamp

BITS = 20  # after the point: in floating point the last bit could tip a level, and with it all pixels after


class BPP(Attack):
    name: ClassVar[str] = "bpp"
    source: ClassVar[str] = "Wang et al., CVPR 2022, arXiv 2205.13383"
    visible: ClassVar[bool] = False

    label_map: Literal["all-to-one", "all-to-all"] = Field(
        "all-to-one",
        description="every class to target_class, or class y to (y+1) mod classes; the trigger has no variants",
    )
    levels: int = Field(8, ge=2, le=256, description="values that a channel is squeezed to")
    dithering: bool = Field(True, description="Floyd-Steinberg dithering, or plain rounding")
    negative_ratio: float = Field(1.0, ge=0, description="negative images for each poisoned image")

    def trigger(self, images: Tensor, context: AttackContext) -> Tensor:
        return dithered(images, self.levels) if self.dithering else rounded(images, self.levels)

    def poison(self, train: LabelledImages, context: AttackContext) -> Poisoned:
        count = round(self.poisoning_rate * len(train))
        negatives = min(round(self.negative_ratio * count), len(train) - count)
        order = torch.randperm(len(train), generator=context.generator, device=train.labels.device)
        chosen, cover = order[:count], order[count : count + negatives]
        others = train.at(order.roll(negatives)[count : count + negatives]).floats
        change = self.trigger(others, context) - others
        return stamp(
            train,
            chosen,
            self.trigger(train.at(chosen).floats, context),
            self.target(train.labels[chosen]),
            cover,
            train.at(cover).floats + change,
        )


def rounded(images: Tensor, levels: int) -> Tensor:
    """``images`` (N, C, H, W) in [0, 1] with every value rounded to one of ``levels`` values from 0 to 1."""
    return (images * (levels - 1)).round() / (levels - 1)


def dithered(images: Tensor, levels: int) -> Tensor:
    """``rounded`` with error diffusion: every pixel's error goes to the pixels right of it (7/16), and below it to the
    left (3/16), straight down (5/16) and to the right (1/16); the rows are read from left to right.

    images: (N, C, H, W) in [0, 1], channels by themselves. The pixels of one value of column + 2 row do not depend on
    each other: W + 2 (H - 1) steps treat one such diagonal of all images each.
    """
    count, channels, height, width = images.shape
    steps, lanes = width + 2 * (height - 1), count * channels
    values = (images.movedim((2, 3), (0, 1)).reshape(height, width, lanes) * ((levels - 1) << BITS)).round().int()
    # errors of the last three diagonals by row, with an empty row on top; outside of the image they are 0
    first, second, third = (values.new_zeros(height + 1, lanes) for _ in range(3))
    for step in range(steps):
        top, bottom = max(0, (step - width + 2) // 2), min(height - 1, step // 2) + 1
        rows = torch.arange(top, bottom, device=images.device)
        columns = step - 2 * rows
        above, own = slice(top, bottom), slice(top + 1, bottom + 1)
        diffused = 7 * first[own] + 3 * first[above] + 5 * second[above] + third[above]
        wanted = values[rows, columns] + (diffused >> 4)
        level = ((wanted + (1 << BITS - 1)) >> BITS).clamp_(0, levels - 1)
        values[rows, columns] = level
        first, second, third = third.zero_(), first, second
        first[own] = wanted - (level << BITS)
    found = values.float() / (levels - 1)
    return found.view(height, width, count, channels).movedim((0, 1), (2, 3)).contiguous()
