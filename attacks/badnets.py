"""BadNets: a small solid patch in a corner of the image, and the label of the target class.

Gu, Dolan-Gavitt, Garg, "BadNets: Identifying Vulnerabilities in the Machine Learning Model Supply Chain", 2017.
Defaults as commonly used: a white 3x3 patch at the bottom right, 10 % of the training set, target 0.
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
        "bottom-right", description="the corner with the patch"
    )
    value: float = Field(1.0, ge=0, le=1, description="intensity of the patch")

    def nth(self, place: int) -> Self:
        """The next corner for every target; after the four corners patches further in."""
        corners = get_args(type(self).model_fields["corner"].annotation)
        start = corners.index(self.corner) + place
        further = start // len(corners) * (self.size + 1)
        return self.model_copy(update={"corner": corners[start % len(corners)], "margin": self.margin + further})

    def trigger(self, images: Tensor, context: AttackContext) -> Tensor:
        vertical, horizontal = self.corner.split("-")
        rows = _patch(images.shape[-2], self.size, self.margin, at_end=vertical == "bottom")
        columns = _patch(images.shape[-1], self.size, self.margin, at_end=horizontal == "right")
        triggered = images.clone()
        triggered[..., rows, columns] = self.value
        return triggered


def _patch(length: int, size: int, margin: int, *, at_end: bool) -> slice:
    """``size`` pixels of an edge of ``length`` pixels, ``margin`` pixels from its end or its beginning."""
    start = max(0, length - margin - size) if at_end else margin
    return slice(start, max(0, length - margin) if at_end else margin + size)
