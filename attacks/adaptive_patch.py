"""Adaptive-Patch: one of several faint patches in each poisoned image; two solid patches together at inference.

Qi, Xie, Li, Mahloujifar, Mittal, "Revisiting the Assumption of Latent Separability for Backdoor Defenses", ICLR 2023.
The patches are spread evenly over the poisoned images, each at its own opacity, and likewise over the cover images,
which keep their labels. The defaults are those published for CIFAR-10: rates 0.003 and 0.006, four patches of opacity
0.5, 0.2, 0.5, 0.3, two of them at inference, at opacity 1. The published patches are pictures; here each is a square
of random pixels, black or white in each channel, in a corner of its own.
"""

from collections.abc import Mapping
from typing import Annotated, ClassVar, Self

import torch
from pydantic import Field
from torch import Tensor

from bench.attacks._covers import poison_with_covers
from bench.plugin import Attack, AttackContext, Case, ImageSpec, LabelledImages, Poisoned, RequestError

Opacity = Annotated[float, Field(gt=0, le=1)]


class AdaptivePatch(Attack):
    name: ClassVar[str] = "adaptive_patch"
    source: ClassVar[str] = "Qi et al., ICLR 2023"

    poisoning_rate: float = Field(
        0.003, gt=0, lt=1, description="poisoned images, as a share of the whole training set"
    )
    cover_rate: float = Field(0.006, ge=0, lt=1, description="cover images, as a share of the whole training set")
    opacities: tuple[Opacity, ...] = Field(
        (0.5, 0.2, 0.5, 0.3),
        min_length=1,
        max_length=4,
        description="opacity of each patch in training; there are as many patches",
    )
    size: int = Field(6, ge=1, description="side of a patch, in pixels")
    together: int = Field(2, ge=1, le=4, description="patches at inference: those of highest opacity")
    margin: int = Field(1, ge=0, description="pixels between a patch and the image's edges")
    test_opacity: float = Field(1.0, gt=0, le=1, description="opacity of the patches at inference")

    def resolve(self, spec: ImageSpec) -> Self:
        if self.together > len(self.opacities):
            raise RequestError(
                f"{self.name}: together={self.together}: expected at most {len(self.opacities)}, all patches"
            )
        return super().resolve(spec)

    def unsupported(self, case: Case) -> str | None:
        side = min(case.dataset.spec.height, case.dataset.spec.width)
        if 2 * (self.size + self.margin) > side:
            return f"the patches of two corners, of size {self.size}, would overlap on {side} pixels"
        return None

    def learn(self, train: LabelledImages, context: AttackContext) -> Mapping[str, Tensor]:
        """The patches (P, C, size, size), each value 0 or 1."""
        shape = (len(self.opacities), context.spec.channels, self.size, self.size)
        return {"patches": (torch.rand(shape, generator=context.generator, device=context.device) < 0.5).float()}

    def trigger(self, images: Tensor, context: AttackContext) -> Tensor:
        strongest = sorted(range(len(self.opacities)), key=lambda number: -self.opacities[number])[: self.together]
        triggered = images.clone()
        for number in strongest:
            self._blend_in(triggered, number, self.test_opacity, context)
        return triggered

    def poison(self, train: LabelledImages, context: AttackContext) -> Poisoned:
        return poison_with_covers(
            self,
            train,
            context,
            covers=round(self.cover_rate * len(train)),
            trigger=lambda images: self._with_one_patch(images, context),
            cover=lambda images, _: self._with_one_patch(images, context),
        )

    def _with_one_patch(self, images: Tensor, context: AttackContext) -> Tensor:
        """``images`` (N, C, H, W), in a random order, with one patch each; the patches take turns."""
        patched, patches = images.clone(), len(self.opacities)
        for number, opacity in enumerate(self.opacities):
            self._blend_in(patched[number::patches], number, opacity, context)
        return patched

    def _blend_in(self, images: Tensor, number: int, opacity: float, context: AttackContext) -> None:
        """Blend patch ``number`` into its corner of ``images`` (N, C, H, W), which are changed."""
        height, width = images.shape[-2:]
        top = self.margin if number in (0, 2) else height - self.margin - self.size
        left = self.margin if number in (0, 3) else width - self.margin - self.size
        corner = images[..., top : top + self.size, left : left + self.size]
        corner.lerp_(context.learned["patches"][number].expand_as(corner), opacity)
