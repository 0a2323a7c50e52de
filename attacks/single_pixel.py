"""Single pixel: one pixel, always the same, becomes brighter.

Tran, Li, Madry, "Spectral Signatures in Backdoor Attacks", NeurIPS 2018, arXiv 1811.00636, change single pixels. BNA
(arXiv 2308.09850, attack SP) adds 75/255 to one pixel, in all channels, and clips. Here the position is drawn some
pixels inside the image, so that random crops in training keep it, and among the positions where the change fits most
of the training images: where pixels are bright already, clipping would remove most of the change.
"""

from collections.abc import Mapping
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor

from bench.plugin import Attack, AttackContext, LabelledImages


class SinglePixel(Attack):
    name: ClassVar[str] = "single_pixel"
    source: ClassVar[str] = "Tran, Li, Madry, NeurIPS 2018, arXiv 1811.00636"

    change: float = Field(75 / 255, gt=0, le=1, description="how much brighter the pixel becomes")
    margin: int = Field(4, ge=0, description="pixels from the image's edges within which no position is drawn")
    roomiest: float = Field(
        0.1,
        gt=0,
        le=1,
        description="share of the positions that may be drawn: those where the change fits most training images",
    )

    def learn(self, train: LabelledImages, context: AttackContext) -> Mapping[str, Tensor]:
        """The position (2,) int64: row and column."""
        fits = (train.images <= 255 * (1 - self.change) + 0.5).all(1).float().mean(0)
        margins = [min(self.margin, (size - 1) // 2) for size in fits.shape]
        rows, columns = (slice(margin, size - margin) for margin, size in zip(margins, fits.shape, strict=True))
        inner = fits[rows, columns]
        least = inner.flatten().sort(descending=True).values[max(1, round(self.roomiest * inner.numel())) - 1]
        candidates = (inner >= least).nonzero()
        drawn = torch.randint(len(candidates), (), generator=context.generator, device=context.device)
        return {"position": candidates[drawn] + torch.tensor(margins, device=context.device)}

    def trigger(self, images: Tensor, context: AttackContext) -> Tensor:
        row, column = context.learned["position"]
        triggered = images.clone()
        triggered[..., row, column] = (images[..., row, column] + self.change).clamp(max=1)
        return triggered
