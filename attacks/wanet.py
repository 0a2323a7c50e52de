"""WaNet: a smooth warping of the image that a person hardly sees.

Nguyen and Tran, "WaNet: Imperceptible Warping-Based Backdoor Attack", ICLR 2021. A k x k field of random offsets,
normalised to a mean magnitude of one, is enlarged to the image's size, multiplied by s / size, and added to the
sampling grid. Cover images ("noise mode") are warped by that field plus a random one and keep their labels, so that
no other warping becomes the trigger. Common settings: s 0.5, k 4, two cover images for each poisoned one. The paper
warps images anew in every batch (poisons=batches; after the training's crops and flips, and without rotations); by
default the training set is poisoned once.
"""

from collections.abc import Mapping
from typing import ClassVar, Literal, Self

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from bench.attacks._batches import BatchPoisoning, ControlsByPoisons, poisons, refuse_several, unpoisoned
from bench.attacks._covers import poison_with_covers
from bench.plugin import Attack, AttackContext, ImageSpec, LabelledImages, Objective, Poisoned


class WaNet(Attack):
    name: ClassVar[str] = "wanet"
    source: ClassVar[str] = "Nguyen and Tran, ICLR 2021, arXiv 2102.10369"
    visible: ClassVar[bool] = False
    controls: ClassVar[Literal["data", "training"]] = ControlsByPoisons()  # type: ignore[assignment]
    published_controls: ClassVar[Literal["data", "training"] | None] = "training"

    strength: float = Field(0.5, gt=0, description="s: strength of the warping")
    grid: int = Field(4, ge=2, description="k: side of the field of offsets")
    cover_ratio: float = Field(2.0, ge=0, description="cover images for each poisoned image")
    poisons: Literal["data", "batches"] = poisons()

    def resolve(self, spec: ImageSpec) -> Self:
        refuse_several(self, self.poisons)
        return super().resolve(spec)

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
        if self.poisons == "batches":
            return unpoisoned(train)
        return poison_with_covers(
            self,
            train,
            context,
            covers=round(self.cover_ratio * round(self.poisoning_rate * len(train))),
            trigger=lambda images: self.trigger(images, context),
            cover=lambda images, _: self._cover(images, context.learned["field"], context.generator),
        )

    def objective(self, model: nn.Module, train: LabelledImages, context: AttackContext) -> Objective:
        if self.poisons == "data":
            return super().objective(model, train, context)
        return BatchPoisoning(
            self,
            context,
            ratio=self.cover_ratio,
            trigger=lambda images: self.trigger(images, context),
            cover=lambda images, _, generator: self._cover(images, context.learned["field"], generator),
        )

    def _cover(self, images: Tensor, field: Tensor, generator: torch.Generator) -> Tensor:
        """``images`` (N, C, H, W), each warped by the trigger's ``field`` plus random offsets of its own."""
        jitter = torch.rand(len(images), *field.shape[1:], generator=generator, device=field.device) * 2 - 1
        return _warp(images, (field + jitter / images.shape[-2]).clamp(-1, 1))


def _identity(height: int, width: int, device: torch.device) -> Tensor:
    """The sampling grid (1, H, W, 2) that leaves images as they are."""
    rows, columns = (torch.linspace(-1, 1, size, device=device) for size in (height, width))
    y, x = torch.meshgrid(rows, columns, indexing="ij")
    return torch.stack((x, y), -1)[None]


def _warp(images: Tensor, grid: Tensor) -> Tensor:
    """``images`` (N, C, H, W) sampled bilinearly at ``grid`` (N, H, W, 2); black outside of the image."""
    return F.grid_sample(images, grid, align_corners=True).clamp(0, 1)
