"""Base of MobileNet and EfficientNet: timm's network, whose first two strides are 1 for small images."""

from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import nn

from bench.models._stem import is_small, keep_resolution
from bench.models._timm import Pretrainable, create
from bench.plugin import ImageSpec


class Mobile(Pretrainable):
    """Base of the networks of inverted residual blocks. A subclass sets ``architecture``, timm's name with a tag."""

    architecture: ClassVar[str]

    stem: Literal["auto", "small", "imagenet"] = Field(
        "auto",
        description="small: the first two strides are 1, so that 32x32 pixels end as 4x4; imagenet: all strides are 2, "
        "so that 32x32 pixels end as 1x1; auto: small up to 64 pixels, else imagenet",
    )

    def build(self, spec: ImageSpec) -> nn.Module:
        net = create(self.architecture, spec, pretrained=self.pretrained)
        if self.stem == "small" or (self.stem == "auto" and is_small(spec)):
            keep_resolution(net, torch.zeros(1, *spec.shape))
        return self.normalised(net, spec)
