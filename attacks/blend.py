"""Blend: a fixed picture is blended into the whole image.

Chen et al., "Targeted Backdoor Attacks on Deep Learning Systems Using Data Poisoning", 2017, arXiv 1712.05526:
triggered = (1 - alpha) * image + alpha * picture. The paper allows any picture. Here it is a photograph that
scikit-learn ships, so that nothing is downloaded, or uniform noise drawn from the attack's seed.
"""

from collections.abc import Mapping
from typing import ClassVar, Literal, Self, get_args

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from bench.plugin import Attack, AttackContext, LabelledImages


class Blend(Attack):
    name: ClassVar[str] = "blend"
    source: ClassVar[str] = "Chen et al., 2017, arXiv 1712.05526"

    alpha: float = Field(0.2, gt=0, le=1, description="opacity of the picture in a triggered image")
    picture: Literal["flower", "china", "noise"] = Field(
        "flower", description="a photograph that scikit-learn ships, or noise"
    )

    def for_target(self, index: int) -> Self:
        """The next picture for each target; once the photographs are used up, noise drawn anew for each."""
        pictures = get_args(type(self).model_fields["picture"].annotation)
        return self.model_copy(update={"picture": pictures[min(pictures.index(self.picture) + index, 2)]})

    def learn(self, train: LabelledImages, context: AttackContext) -> Mapping[str, Tensor]:
        """The picture (C, H, W) in [0, 1]."""
        if self.picture == "noise":
            return {"picture": torch.rand(context.spec.shape, generator=context.generator, device=context.device)}
        return {"picture": _photograph(self.picture, context.spec.shape).to(context.device)}

    def trigger(self, images: Tensor, context: AttackContext) -> Tensor:
        return torch.lerp(images, context.learned["picture"].expand_as(images), self.alpha)


def _photograph(name: str, shape: tuple[int, int, int]) -> Tensor:
    """scikit-learn's photograph ``name``, resized to ``shape`` (C, H, W), in [0, 1]; grey unless C is 3."""
    from sklearn.datasets import load_sample_image

    channels, height, width = shape
    photo = torch.from_numpy(load_sample_image(f"{name}.jpg").copy()).permute(2, 0, 1)[None].float() / 255
    photo = F.interpolate(photo, (height, width), mode="bilinear", antialias=True, align_corners=False)[0]
    return photo if channels == 3 else photo.mean(0, keepdim=True).expand(channels, -1, -1)
