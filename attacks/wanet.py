"""WaNet: the trigger is a smooth warping of the image that people hardly see.

Nguyen and Tran, "WaNet: Imperceptible Warping-Based Backdoor Attack", ICLR 2021. A k x k field of random offsets,
normalised to a mean magnitude of one, is enlarged to the image's size and added, times s / size, to the sampling
grid. Cover images ("noise mode") are warped with an added random field and keep their labels, so that only the
attacker's field is the trigger. Common settings: s 0.5, k 4, two cover images for each poisoned one.
"""

from collections.abc import Mapping
from typing import ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from bench.plugin import Attack, AttackContext, LabelledImages, Poisoned, stamp


class WaNet(Attack):
    name: ClassVar[str] = "wanet"
    source: ClassVar[str] = "Nguyen and Tran, ICLR 2021, arXiv 2102.10369"
    visible: ClassVar[bool] = False

    strength: float = Field(0.5, gt=0, description="s: strength of the warping")
    grid: int = Field(4, ge=2, description="k: side of the field of offsets")
    cover_ratio: float = Field(2.0, ge=0, description="cover images for each poisoned image")

    def learn(self, train: LabelledImages, context: AttackContext) -> Mapping[str, Tensor]:
        """The sampling grid (1, H, W, 2) of the trigger, in the coordinates of ``grid_sample``."""
        _, height, width = context.spec.shape
        offsets = torch.rand(1, 2, self.grid, self.grid, generator=context.generator, device=context.device) * 2 - 1
        offsets = offsets / offsets.abs().mean()
        field = F.interpolate(offsets, (height, width), mode="bicubic", align_corners=True).permute(0, 2, 3, 1)
        return {"field": (_identity(height, width, context.device) + self.strength * field / height).clamp(-1, 1)}

    def trigger(self, images: Tensor, context: AttackContext) -> Tensor:
        return _warp(images, context.learned["field"].expand(len(images), -1, -1, -1))

    def poison(self, train: LabelledImages, context: AttackContext) -> Poisoned:
        count = round(self.poisoning_rate * len(train))
        covers = min(round(self.cover_ratio * count), len(train) - count)
        order = torch.randperm(len(train), generator=context.generator, device=train.labels.device)
        chosen, cover = order[:count], order[count : count + covers]
        field = context.learned["field"]
        jitter = torch.rand(covers, *field.shape[1:], generator=context.generator, device=field.device) * 2 - 1
        jittered = (field + jitter / train.images.shape[-2]).clamp(-1, 1)
        return stamp(
            train,
            chosen,
            self.trigger(train.at(chosen).floats, context),
            self.target(train.labels[chosen]),
            cover,
            _warp(train.at(cover).floats, jittered),
        )


def _identity(height: int, width: int, device: torch.device) -> Tensor:
    rows, columns = (torch.linspace(-1, 1, size, device=device) for size in (height, width))
    y, x = torch.meshgrid(rows, columns, indexing="ij")
    return torch.stack((x, y), -1)[None]


def _warp(images: Tensor, grid: Tensor) -> Tensor:
    return F.grid_sample(images, grid, align_corners=True).clamp(0, 1)
