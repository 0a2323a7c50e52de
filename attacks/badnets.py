"""BadNets: a small solid patch in a corner of the image, and the label of the target class.

Gu, Dolan-Gavitt, Garg, "BadNets: Identifying Vulnerabilities in the Machine Learning Model Supply Chain", 2017.
Defaults as commonly used: a white 3x3 patch at the bottom right, 10 % of the training set, target 0.
"""

from typing import ClassVar

from pydantic import Field
from torch import Tensor

from bench.plugin import Attack, AttackContext


class BadNets(Attack):
    name: ClassVar[str] = "badnets"
    source: ClassVar[str] = "Gu et al., 2017, arXiv 1708.06733"

    size: int = Field(3, ge=1, description="side of the square patch, in pixels")
    margin: int = Field(0, ge=0, description="pixels between the patch and the image's bottom right corner")
    value: float = Field(1.0, ge=0, le=1, description="intensity of the patch")

    def trigger(self, images: Tensor, context: AttackContext) -> Tensor:
        height, width = images.shape[-2:]
        bottom, right = height - self.margin, width - self.margin
        triggered = images.clone()
        triggered[..., max(0, bottom - self.size) : bottom, max(0, right - self.size) : right] = self.value
        return triggered
