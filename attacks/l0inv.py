"""L0 invisible trigger: a few pixels, found and coloured by optimisation on a clean network.

Li et al., "Invisible Backdoor Attacks on Deep Neural Networks via Steganography and Regularization", IEEE TDSC 2021:
the trigger starts as Gaussian noise; while it is optimised on a clean network, the pixels that matter least are taken
away, round by round, until few are left. Here it is led straight to the target class, a pixel matters by its share
in the loss to first order, and the number of pixels falls by a constant factor from round to round.
"""

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor

from bench.attacks._surrogate import AddedPattern, Loss, descend, largest
from bench.plugin import AttackContext


class L0Inv(AddedPattern):
    name: ClassVar[str] = "l0inv"
    source: ClassVar[str] = "Li et al., TDSC 2021, arXiv 1909.02742"

    pixels: int = Field(10, ge=1, description="pixels that the trigger changes, at most")
    strength: float = Field(0.2, gt=0, le=1, description="largest change of a pixel")
    rounds: int = Field(8, ge=1, description="rounds in which pixels are taken away")
    rate: float = Field(0.05, gt=0, description="learning rate of the search")

    def search(self, loss: Loss, context: AttackContext) -> Tensor:
        _, height, width = context.spec.shape
        pattern = torch.randn(context.spec.shape, generator=context.generator, device=context.device) * self.strength
        mask = torch.ones(height, width, device=context.device)
        steps = -(-self.steps // (self.rounds + 1))
        for left in range(self.rounds, -1, -1):
            kept = mask

            def within(values: Tensor, kept: Tensor = kept) -> Tensor:
                return values.clamp(-self.strength, self.strength) * kept

            pattern = descend(pattern, loss, within, steps=steps, rate=self.rate)
            if left:
                count = round(self.pixels * (height * width / self.pixels) ** ((left - 1) / self.rounds))
                mask = largest(_weight(pattern, loss), count) * mask
        return pattern


def _weight(pattern: Tensor, loss: Loss) -> Tensor:
    """By how much the loss changes, to first order, where a pixel (H, W) is taken out of ``pattern`` (C, H, W)."""
    point = pattern.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(loss(point), point)
    return (gradient * pattern).sum(0).abs()
