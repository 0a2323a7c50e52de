"""Adaptive-Blend: every poisoned image shows other pieces of a blended picture; cover images keep their labels.

Qi, Xie, Li, Mahloujifar, Mittal, "Revisiting the Assumption of Latent Separability for Backdoor Defenses", ICLR 2023.
The picture is cut into 4x4 pieces. A poisoned training image gets a random half of them at a low opacity; at inference
the whole picture is blended in. Cover images get a random half too but keep their labels, so that poisoned images do
not form a cluster of their own in the target class. The defaults are those published for CIFAR-10: rates 0.003 and
0.003, opacity 0.15 in training and 0.2 at inference.
"""

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor

from bench.attacks._covers import poison_with_covers
from bench.attacks.blend import Blend
from bench.plugin import AttackContext, LabelledImages, Poisoned


class AdaptiveBlend(Blend):
    name: ClassVar[str] = "adaptive_blend"
    source: ClassVar[str] = "Qi et al., ICLR 2023"

    poisoning_rate: float = Field(
        0.003, gt=0, lt=1, description="poisoned images, as a share of the whole training set"
    )
    cover_rate: float = Field(0.003, ge=0, lt=1, description="cover images, as a share of the whole training set")
    train_alpha: float = Field(0.15, gt=0, le=1, description="opacity of the picture in poisoned and cover images")
    grid: int = Field(4, ge=1, description="pieces of the picture in each row and in each column")
    shown: float = Field(0.5, gt=0, le=1, description="share of the pieces that a poisoned or cover image gets")

    def poison(self, train: LabelledImages, context: AttackContext) -> Poisoned:
        return poison_with_covers(
            self,
            train,
            context,
            covers=round(self.cover_rate * len(train)),
            trigger=lambda images: self._with_pieces(images, context),
            cover=lambda images, _: self._with_pieces(images, context),
        )

    def _with_pieces(self, images: Tensor, context: AttackContext) -> Tensor:
        """``images`` (N, C, H, W), each with the share ``shown`` of the picture's pieces, drawn for each anew."""
        pieces = self.grid**2
        order = torch.rand(len(images), pieces, generator=context.generator, device=images.device).argsort(1)
        visible = (order < max(1, round(self.shown * pieces))).view(-1, self.grid, self.grid)
        rows, columns = (torch.arange(size, device=images.device) * self.grid // size for size in images.shape[-2:])
        opacity = self.train_alpha * visible[:, rows[:, None], columns].unsqueeze(1)
        return torch.lerp(images, context.learned["picture"].expand_as(images), opacity.expand_as(images))
