"""BppAttack: a lower colour depth, hidden by dithering.

Wang, Zhai, Ma, "BppAttack: Stealthy and Efficient Trojan Attacks against Deep Neural Networks via Image Quantization
and Contrastive Adversarial Learning", CVPR 2022, arXiv 2205.13383. Every channel is quantised to few levels, commonly
8, and Floyd-Steinberg dithering passes each pixel's error on to its neighbours. Negative images keep their labels: each
gets the quantisation error of *another* image, so that the quantisation is the trigger and not noise of its size. This
is the attack by poisoning alone; the authors do not dither, and draw poisoned and negative images anew in every batch
(poisons=batches).
"""

from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from bench.attacks._batches import BatchPoisoning, ControlsByPoisons, poisons, unpoisoned
from bench.attacks._covers import poison_with_covers
from bench.plugin import Attack, AttackContext, LabelledImages, Objective, Poisoned

BITS = 20  # after the point. Floats could round a level differently at the last bit, and with it all later pixels


class BPP(Attack):
    name: ClassVar[str] = "bpp"
    source: ClassVar[str] = "Wang et al., CVPR 2022, arXiv 2205.13383"
    visible: ClassVar[bool] = False
    controls: ClassVar[Literal["data", "training"]] = ControlsByPoisons()  # type: ignore[assignment]
    published_controls: ClassVar[Literal["data", "training"] | None] = "training"

    label_map: Literal["all-to-one", "all-to-all"] = Field(
        "all-to-one",
        description="every class to target_class, or class y to (y+1) mod classes; there is only one trigger",
    )
    levels: int = Field(8, ge=2, le=256, description="values that a channel is quantised to")
    dithering: bool = Field(True, description="Floyd-Steinberg dithering, or plain rounding")
    negative_ratio: float = Field(1.0, ge=0, description="negative images for each poisoned image")
    poisons: Literal["data", "batches"] = poisons()

    def trigger(self, images: Tensor, context: AttackContext) -> Tensor:
        return dithered(images, self.levels) if self.dithering else rounded(images, self.levels)

    def poison(self, train: LabelledImages, context: AttackContext) -> Poisoned:
        if self.poisons == "batches":
            return unpoisoned(train)
        return poison_with_covers(
            self,
            train,
            context,
            covers=round(self.negative_ratio * round(self.poisoning_rate * len(train))),
            trigger=lambda images: self.trigger(images, context),
            cover=lambda images, others: self._negative(images, others.floats, context),
        )

    def objective(self, model: nn.Module, train: LabelledImages, context: AttackContext) -> Objective:
        if self.poisons == "data":
            return super().objective(model, train, context)
        return BatchPoisoning(
            self,
            context,
            ratio=self.negative_ratio,
            trigger=lambda images: self.trigger(images, context),
            cover=lambda images, others, _: self._negative(images, others, context).clamp(0, 1),
        )

    def _negative(self, images: Tensor, others: Tensor, context: AttackContext) -> Tensor:
        """``images`` (N, C, H, W) plus the quantisation errors of as many ``others``; not clipped."""
        return images + (self.trigger(others, context) - others)


def rounded(images: Tensor, levels: int) -> Tensor:
    """``images`` (N, C, H, W) in [0, 1] with every value rounded to one of ``levels`` values from 0 to 1."""
    return (images * (levels - 1)).round() / (levels - 1)


def dithered(images: Tensor, levels: int) -> Tensor:
    """``images`` (N, C, H, W) in [0, 1], quantised to ``levels`` values by Floyd-Steinberg dithering.

    Rows are read from left to right, each channel by itself. Of a pixel's error 7/16 go to the pixel on its right, and
    3/16, 5/16 and 1/16 to the pixels below it: on the left, in the middle, on the right. Pixels with the same
    column + 2 row do not depend on each other, so each of W + 2 (H - 1) steps computes one such diagonal of all images.
    """
    count, channels, height, width = images.shape
    steps, lanes = width + 2 * (height - 1), count * channels
    values = (images.movedim((2, 3), (0, 1)).reshape(height, width, lanes) * ((levels - 1) << BITS)).round().int()
    # the errors of the last three diagonals, by row, below a row of zeros; outside of the image errors are 0
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
    quantised = values.float() / (levels - 1)
    return quantised.view(height, width, count, channels).movedim((0, 1), (2, 3)).contiguous()
