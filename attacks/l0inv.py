"""L0 invisible trigger: a few pixels, chosen and coloured by optimisation on a clean network.

Li et al., "Invisible Backdoor Attacks on Deep Neural Networks via Steganography and Regularization", IEEE TDSC 2021:
the trigger starts as Gaussian noise and is optimised on a clean network, to excite chosen neurons; round by round the
least important pixels are removed until few are left. Here the loss is the cross-entropy with the target class, a
pixel's importance is its first-order contribution to that loss, and the number of pixels falls by a constant factor.
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
    rounds: int = Field(8, ge=1, description="rounds, each of which removes pixels")
    rate: float = Field(0.05, gt=0, description="learning rate of the search")

    def search(self, loss: Loss, context: AttackContext) -> Tensor:
        _, height, width = context.spec.shape
        pattern = torch.randn(context.spec.shape, generator=context.generator, device=context.device) * self.strength
        mask = torch.ones(height, width, device=context.device)
        steps = -(-self.steps // (self.rounds + 1))
        for left in range(self.rounds, -1, -1):

            def within(values: Tensor, mask: Tensor = mask) -> Tensor:
                return values.clamp(-self.strength, self.strength) * mask

            pattern = descend(pattern, loss, within, steps=steps, rate=self.rate)
            if left:
                count = round(self.pixels * (height * width / self.pixels) ** ((left - 1) / self.rounds))
                mask = largest(_importance(pattern, loss), count) * mask
        return pattern


def _importance(pattern: Tensor, loss: Loss) -> Tensor:
    """The change of the loss, to first order, when a pixel is removed from ``pattern`` (C, H, W): for each (H, W)."""
    point = pattern.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(loss(point), point)
    return (gradient * pattern).sum(0).abs()
