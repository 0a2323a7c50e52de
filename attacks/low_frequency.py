"""Low-frequency attack: a smooth pattern over the whole image, without the high frequencies that betray others.

Zeng et al., "Rethinking the Backdoor Attacks' Triggers: A Frequency Perspective", ICCV 2021: one pattern for all
images is optimised on a clean network toward the target class, through a low-pass filter, and added to the image. Here
the filter is ideal: the pattern consists of the lowest frequencies of the cosine transform alone. To keep its bound
it is scaled and not clipped, since clipping would bring high frequencies back.
"""

import math
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor

from bench.attacks._surrogate import AddedPattern, Loss, descend
from bench.plugin import AttackContext


class LowFrequency(AddedPattern):
    name: ClassVar[str] = "low_frequency"
    source: ClassVar[str] = "Zeng et al., ICCV 2021, arXiv 2104.03413"

    cutoff: float = Field(
        0.2, gt=0, le=1, description="share of the frequencies that are used, the lowest, in each direction"
    )
    strength: float = Field(10 / 255, gt=0, le=1, description="largest change of a pixel")
    rate: float = Field(0.05, gt=0, description="learning rate of the search, on the cosine coefficients")

    def search(self, loss: Loss, context: AttackContext) -> Tensor:
        channels, *sides = context.spec.shape
        down, across = (cosines(side, math.ceil(self.cutoff * side), context.device) for side in sides)

        def pattern(coefficients: Tensor) -> Tensor:
            return down.T @ coefficients @ across

        def within(coefficients: Tensor) -> Tensor:
            return coefficients * (self.strength / pattern(coefficients).abs().max()).clamp_max(1)

        shape = (channels, len(down), len(across))
        start = torch.randn(shape, generator=context.generator, device=context.device)
        best = descend(start, lambda values: loss(pattern(values)), within, steps=self.steps, rate=self.rate)
        return pattern(best)


def cosines(length: int, count: int, device: torch.device) -> Tensor:
    """The first ``count`` rows (count, length) of the orthonormal cosine transform (DCT-II) of ``length`` values."""
    frequency, position = torch.arange(count, device=device), torch.arange(length, device=device)
    rows = (math.pi / length * frequency[:, None] * (position + 0.5)).cos() * math.sqrt(2 / length)
    rows[0] /= math.sqrt(2)
    return rows
