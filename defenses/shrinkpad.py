"""ShrinkPad: a trigger that is moved and shrunk no longer fits what the network has learned.

Li, Zhai, Jiang, Li, Xia, "Backdoor Attack in the Physical World", ICLR 2021 workshop. Every input is shrunk by a few
pixels and put back to its size by black pixels, at a random place. Nothing is detected and nothing is learned: the
defender needs no image.

The random place follows from the image's pixels and the seed, so that an image is answered alike in every batch.

It can harm: a network that was trained with triggers that interpolate, as WaNet's warping of 28 x 28 digits does, takes
the smoothing for the trigger. There 99.9 % of clean test images went to the target when shrunk by 4 pixels (bilinear),
10 % when they were only moved by 2, or shrunk by dropping rows; without WaNet shrinking cost one point of accuracy.
"""

from typing import ClassVar, Self

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from bench.plugin import Context, Guard, ImageSpec, Knowledge, Known, Prediction, RequestError, Runtime


class ShrinkPad(Runtime):
    name: ClassVar[str] = "shrinkpad"
    knowledge: ClassVar[Knowledge] = "none"
    source: ClassVar[str] = "Li et al., ICLR 2021 workshop, arXiv 2104.02361"

    share: float = Field(
        0.125, gt=0, lt=1, description="share of height and width that an image loses; 4 of 32 pixels in common use"
    )

    def resolve(self, spec: ImageSpec) -> Self:
        if not all(0 < self.lost(side) < side for side in (spec.height, spec.width)):
            raise RequestError(
                f"{self.name}: share={self.share}: expected at least one pixel of {spec.height} x {spec.width} lost, "
                "and one left"
            )
        return self

    def guard(self, model: nn.Module, known: Known, context: Context) -> Guard:
        seed = torch.randint(2**62, (1,), generator=context.generator, device=context.device).item()

        @torch.no_grad()
        def guarded(images: Tensor) -> Prediction:
            height, width = images.shape[2:]
            slack = (self.lost(height), self.lost(width))
            return Prediction(model(shrunk(images, slack, places(images, slack, int(seed)))))

        return guarded

    def lost(self, side: int) -> int:
        """How many of ``side`` pixels an image loses."""
        return round(self.share * side)


def shrunk(images: Tensor, slack: tuple[int, int], corners: Tensor) -> Tensor:
    """``images`` (N, C, H, W), ``slack`` rows and columns smaller, on black, their upper left corner at ``corners``
    (N, 2), rows and columns from 0 to ``slack``."""
    height, width = images.shape[2:]
    rows, columns = slack
    small = F.interpolate(images, (height - rows, width - columns), mode="bilinear", antialias=True)
    padded = F.pad(small, (columns, columns, rows, rows)).permute(0, 2, 3, 1)
    device = images.device
    row = rows - corners[:, 0, None, None] + torch.arange(height, device=device)[:, None]
    column = columns - corners[:, 1, None, None] + torch.arange(width, device=device)
    placed = padded[torch.arange(len(images), device=device)[:, None, None], row, column]
    return placed.permute(0, 3, 1, 2)


def places(images: Tensor, slack: tuple[int, int], seed: int) -> Tensor:
    """Rows and columns (N, 2) from 0 to ``slack``, drawn evenly by hashing the bytes of each image with ``seed``."""
    pixels = images.flatten(1).mul(255).round().long()
    # multilinear hashing modulo 2^64: sums of whole numbers are exact in any order, and the upper half is random
    draws = torch.Generator().manual_seed(seed)
    factors = torch.randint(-(2**63), 2**63 - 1, (pixels.shape[1] + 1,), generator=draws).to(images.device)
    hashed = (pixels * factors[1:]).sum(1) + factors[0]
    halves = [hashed.bitwise_right_shift(bits).bitwise_and(2**16 - 1) for bits in (48, 32)]
    return torch.stack([half % (most + 1) for half, most in zip(halves, slack, strict=True)], 1)
