"""Adaptive-Patch: several faint patches, one in each poisoned image; two together, and solid, at inference.

Qi, Xie, Li, Mahloujifar, Mittal, "Revisiting the Assumption of Latent Separability for Backdoor Defenses", ICLR 2023.
Each poisoned training image gets one of the patches, at that patch's opacity, in equal shares; so do cover images,
which keep their labels. Published for CIFAR-10: rates 0.003 and 0.006, four patches of opacity 0.5, 0.2, 0.5, 0.3, two
of them at inference, at opacity 1. The published patches are pictures; here each is a square of random pixels, black or
white in each channel, in a corner of its own.
"""

from collections.abc import Mapping
from typing import Annotated, ClassVar, Self

import torch
from pydantic import Field
from torch import Tensor

from bench.attacks._covers import stamped_with_covers
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
        (0.5, 0.2, 0.5, 0.3), min_length=1, max_length=4, description="of every patch in training; one patch for each"
    )
    size: int = Field(6, ge=1, description="side of a patch, in pixels")
    together: int = Field(2, ge=1, le=4, description="patches at inference: those of the highest opacities")
    margin: int = Field(1, ge=0, description="pixels between a patch and the image's edges")
    test_opacity: float = Field(1.0, gt=0, le=1, description="opacity of the patches at inference")

    def resolve(self, spec: ImageSpec) -> Self:
        if self.together > len(self.opacities):
            raise RequestError(
                f"{self.name}: together={self.together}: expected at most {len(self.opacities)}, all patches"
            )
        return super().resolve(spec)

    def unsupported(self, case: Case) -> str | None:
        room = min(case.dataset.spec.height, case.dataset.spec.width)
        if 2 * (self.size + self.margin) > room:
            return f"the patches of two corners, of size {self.size}, would overlap on {room} pixels"
        return None

    def learn(self, train: LabelledImages, context: AttackContext) -> Mapping[str, Tensor]:
        """The patches (P, C, size, size), of 0 and 1."""
        shape = (len(self.opacities), context.spec.channels, self.size, self.size)
        return {"patches": (torch.rand(shape, generator=context.generator, device=context.device) < 0.5).float()}

    def trigger(self, images: Tensor, context: AttackContext) -> Tensor:
        strongest = sorted(range(len(self.opacities)), key=lambda place: -self.opacities[place])[: self.together]
        triggered = images.clone()
        for place in strongest:
            self._put(triggered, place, self.test_opacity, context)
        return triggered

    def poison(self, train: LabelledImages, context: AttackContext) -> Poisoned:
        return stamped_with_covers(self, train, context, self.cover_rate, self._one_each)

    def _one_each(self, images: Tensor, context: AttackContext) -> Tensor:
        """``images`` (N, C, H, W), in a random order, with one patch each, in turn."""
        patched, patches = images.clone(), len(self.opacities)
        for place, opacity in enumerate(self.opacities):
            self._put(patched[place::patches], place, opacity, context)
        return patched

    def _put(self, images: Tensor, place: int, opacity: float, context: AttackContext) -> None:
        """Blend patch number ``place`` into its corner of ``images``, in place."""
        height, width = images.shape[-2:]
        top = self.margin if place in (0, 2) else height - self.margin - self.size
        left = self.margin if place in (0, 3) else width - self.margin - self.size
        corner = images[..., top : top + self.size, left : left + self.size]
        corner.lerp_(context.learned["patches"][place].expand_as(corner), opacity)
