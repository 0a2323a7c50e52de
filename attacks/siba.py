"""SIBA: a sparse and invisible trigger: few pixels, each changed by little.

Gao et al., "Backdoor Attack with Sparse and Invisible Trigger", 2023: at most k pixels change, each by at most eps.
The search on a clean network takes turns: it chooses the k pixels at which the loss of the target falls fastest, then
moves the pattern on them along the gradient's sign, by 0.8 eps a step, clipped at eps. The best turn counts.
Published settings: k 100, eps 8/255, and turns of five epochs. Here a turn is a few batches.
"""

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor

from bench.attacks._surrogate import AddedPattern, Loss, largest
from bench.plugin import AttackContext


class SIBA(AddedPattern):
    name: ClassVar[str] = "siba"
    source: ClassVar[str] = "Gao et al., 2023, arXiv 2306.06209"

    pixels: int = Field(100, ge=1, description="k: pixels that the trigger changes, at most")
    eps: float = Field(8 / 255, gt=0, le=1, description="largest change of a pixel")
    step: float = Field(0.8, gt=0, description="step of the search, as a share of eps")
    turn: int = Field(10, ge=1, description="steps in a turn; each turn chooses the pixels anew")

    def search(self, loss: Loss, context: AttackContext) -> Tensor:
        pattern = best = torch.zeros(context.spec.shape, device=context.device)
        mask, lowest, total = pattern, float("inf"), 0.0
        for number in range(self.steps):
            point = pattern.clone().requires_grad_()
            value = loss(point)
            (gradient,) = torch.autograd.grad(value, point)
            if number % self.turn == 0:
                mask, total = largest(gradient.abs().sum(0), self.pixels), 0.0
            pattern = (pattern - self.step * self.eps * gradient.sign()).clamp(-self.eps, self.eps) * mask
            total += float(value.detach())
            if number % self.turn == self.turn - 1 and total < lowest:
                best, lowest = pattern, total
        return best if lowest < float("inf") else pattern
