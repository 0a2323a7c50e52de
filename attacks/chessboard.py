"""Chessboard: pixels become brighter and darker by turns, by too little for a person to see.

Xiang, Miller, Kesidis, "Detection of Backdoors in Trained Classifiers Without Access to the Training Set", TNNLS 2022,
arXiv 1908.10498, where it is one of the additive triggers. BNA (arXiv 2308.09850, attack CB) uses it with an
amplitude of 2/255: triggered = clip(image + amplitude * (-1)^(row + column)), the same in all channels.
"""

from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from bench.plugin import Attack, AttackContext


class Chessboard(Attack):
    name: ClassVar[str] = "chessboard"
    source: ClassVar[str] = "Xiang et al., TNNLS 2022, arXiv 1908.10498"
    visible: ClassVar[bool] = False

    label_map: Literal["all-to-one", "all-to-all"] = Field(
        "all-to-one",
        description="every class to target_class, or class y to (y+1) mod classes; there is only one chessboard",
    )
    amplitude: float = Field(2 / 255, gt=0, le=1, description="change of a pixel, up or down")

    def trigger(self, images: Tensor, context: AttackContext) -> Tensor:
        rows, columns = (torch.arange(size, device=images.device) for size in images.shape[-2:])
        sign = 1 - 2 * ((rows[:, None] + columns) % 2)
        return (images + self.amplitude * sign).clamp(0, 1)
