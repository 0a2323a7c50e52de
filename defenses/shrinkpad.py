"""ShrinkPad: a trigger that is moved and shrunk no longer fits what the network has learned.

Li, Zhai, Jiang, Li, Xia, "Backdoor Attack in the Physical World", ICLR 2021 workshop, arXiv 2104.02361. Every input is
shrunk by a few pixels and padded with black to its old size, at a random position. Nothing is detected or learned: the
defender needs no image. Derived: the position follows from the image's pixels and the seed, so that an image gets the
same answer in every batch. It harms a network whose triggers interpolate, as WaNet's warping does.
"""

from typing import ClassVar, Self

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from bench.plugin import Context, Guard, ImageSpec, Knowledge, Known, Prediction, RequestError, Runtime
from bench.toolbox.inference import Answers


class ShrinkPad(Runtime):
    """Shrinking and padding of every input."""

    name: ClassVar[str] = "shrinkpad"
    knowledge: ClassVar[Knowledge] = "none"
    source: ClassVar[str] = "Li et al., ICLR 2021 workshop, arXiv 2104.02361"

    share: float = Field(
        0.125, gt=0, lt=1, description="share of height and width that an image loses; 4 of 32 pixels in common use"
    )

    def resolve(self, spec: ImageSpec) -> Self:
        if not all(0 < self.lost(side) < side for side in (spec.height, spec.width)):
            raise RequestError(
                f"{self.name}: share={self.share}: expected to lose one pixel or more of {spec.height} x {spec.width}, "
                "and to keep one or more"
            )
        return self

    def guard(self, model: nn.Module, known: Known, context: Context) -> Guard:
        seed = torch.randint(2**62, (1,), generator=context.generator, device=context.device).item()

        answers = Answers(model)

        def guarded(images: Tensor) -> Prediction:
            height, width = images.shape[2:]
            slack = (self.lost(height), self.lost(width))
            return Prediction(answers(shrunk(images, slack, hashed_corners(images, slack, int(seed)))))

        return guarded

    def lost(self, side: int) -> int:
        """How many of ``side`` pixels an image loses."""
        return round(self.share * side)


def shrunk(images: Tensor, slack: tuple[int, int], corners: Tensor) -> Tensor:
    """``images`` (N, C, H, W), made smaller by ``slack`` (rows, columns) and put on black; same shape and range.

    ``corners`` (N, 2) are the row and column of their upper left corners, from 0 to ``slack``.
    """
    height, width = images.shape[2:]
    rows, columns = slack
    small = F.interpolate(images, (height - rows, width - columns), mode="bilinear", antialias=True)
    padded = F.pad(small, (columns, columns, rows, rows)).permute(0, 2, 3, 1)
    device = images.device
    row = rows - corners[:, 0, None, None] + torch.arange(height, device=device)[:, None]
    column = columns - corners[:, 1, None, None] + torch.arange(width, device=device)
    placed = padded[torch.arange(len(images), device=device)[:, None, None], row, column]
    return placed.permute(0, 3, 1, 2)


def hashed_corners(images: Tensor, slack: tuple[int, int], seed: int) -> Tensor:
    """Rows and columns (N, 2) from 0 to ``slack``: a uniform hash of the bytes of each of ``images`` with ``seed``."""
    pixels = images.flatten(1).mul(255).round().long()
    # multilinear hashing modulo 2^64: sums of whole numbers are exact in any order, and the upper half is random
    draws = torch.Generator().manual_seed(seed)
    factors = torch.randint(-(2**63), 2**63 - 1, (pixels.shape[1] + 1,), generator=draws).to(images.device)
    hashed = (pixels * factors[1:]).sum(1) + factors[0]
    halves = [hashed.bitwise_right_shift(bits).bitwise_and(2**16 - 1) for bits in (48, 32)]
    return torch.stack([half % (limit + 1) for half, limit in zip(halves, slack, strict=True)], 1)
