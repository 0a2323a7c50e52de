"""BadNets: a small solid patch in a corner of the image, and the label of the target class.

Gu, Dolan-Gavitt, Garg, "BadNets: Identifying Vulnerabilities in the Machine Learning Model Supply Chain", 2017.
The defaults are the common ones: a white 3x3 patch at the bottom right, 10 % of the training set, target 0.
"""

from typing import ClassVar, Literal, Self, get_args

from pydantic import Field
from torch import Tensor

from bench.plugin import Attack, AttackContext


class BadNets(Attack):
    name: ClassVar[str] = "badnets"
    source: ClassVar[str] = "Gu et al., 2017, arXiv 1708.06733"

    size: int = Field(3, ge=1, description="side of the square patch, in pixels")
    margin: int = Field(0, ge=0, description="pixels between the patch and the image's edges")
    corner: Literal["bottom-right", "bottom-left", "top-right", "top-left"] = Field(
        "bottom-right", description="corner of the image that the patch lies in"
    )
    value: float = Field(1.0, ge=0, le=1, description="intensity of the patch")

    def for_target(self, index: int) -> Self:
        """The next corner for each target; from the fifth corner on, the patch lies further inside the image."""
        corners = get_args(type(self).model_fields["corner"].annotation)
        position = corners.index(self.corner) + index
        inward = position // len(corners) * (self.size + 1)
        return self.model_copy(update={"corner": corners[position % len(corners)], "margin": self.margin + inward})

    def trigger(self, images: Tensor, context: AttackContext) -> Tensor:
        vertical, horizontal = self.corner.split("-")
        rows = _span(images.shape[-2], self.size, self.margin, at_end=vertical == "bottom")
        columns = _span(images.shape[-1], self.size, self.margin, at_end=horizontal == "right")
        triggered = images.clone()
        triggered[..., rows, columns] = self.value
        return triggered


def _span(length: int, size: int, margin: int, *, at_end: bool) -> slice:
    """The ``size`` pixels of a side of ``length`` pixels that are ``margin`` pixels away from its start or its end."""
    start = max(0, length - margin - size) if at_end else margin
    return slice(start, max(0, length - margin) if at_end else margin + size)
