"""L2 invisible trigger: a faint pattern over the image, optimised on a clean network within an L2 norm.

Li et al., "Invisible Backdoor Attacks on Deep Neural Networks via Steganography and Regularization", IEEE TDSC 2021:
the trigger starts as Gaussian noise and is optimised to excite chosen neurons of a clean network, while an Lp
regulariser keeps it small. Here the loss is the cross-entropy with the target class, and projection keeps the norm
within a bound, which is easier to choose than a regulariser's weight.
"""

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor

from bench.attacks._surrogate import AddedPattern, Loss, descend
from bench.plugin import AttackContext


class L2Inv(AddedPattern):
    name: ClassVar[str] = "l2inv"
    source: ClassVar[str] = "Li et al., TDSC 2021, arXiv 1909.02742"

    norm: float = Field(1.0, gt=0, description="largest L2 norm of the pattern, for pixels in [0, 1]")
    rate: float = Field(0.01, gt=0, description="learning rate of the search")

    def search(self, loss: Loss, context: AttackContext) -> Tensor:
        start = torch.randn(context.spec.shape, generator=context.generator, device=context.device)
        return descend(start, loss, self._within, steps=self.steps, rate=self.rate)

    def _within(self, pattern: Tensor) -> Tensor:
        norm: Tensor = torch.linalg.vector_norm(pattern)
        return pattern * (self.norm / norm).clamp_max(1)
