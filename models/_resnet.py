"""What the ResNets share: timm's network with a width and a stem for small images."""

from typing import Literal

from pydantic import Field
from torch import nn

from bench.plugin import ImageSpec, Model
from models._timm import Normalised, create


class ResNet(Model):
    """Base of the residual networks; a subclass sets ``name``, which is timm's name too."""

    width: int = Field(
        64,
        ge=4,
        le=256,
        multiple_of=2,
        description="channels of stem and first stage; the later ones have 2, 4, 8 times as many",
    )
    stem: Literal["auto", "small", "pooled", "imagenet"] = Field(
        "auto",
        description="small: 3x3 convolution without stride or pooling, as for CIFAR-10; pooled: the same, then "
        "pooling; imagenet: 7x7 with stride 2, then pooling; auto: small up to 64 pixels, else imagenet",
    )

    def build(self, spec: ImageSpec) -> nn.Module:
        stem = self.stem
        if stem == "auto":
            stem = "small" if max(spec.height, spec.width) <= 64 else "imagenet"
        channels = tuple(self.width * factor for factor in (1, 2, 4, 8))
        # timm gives the single-convolution stem 64 channels always; its deep stem has a width, and is replaced here
        net = create(self.name, spec, channels=channels, stem_type="deep", stem_width=self.width // 2)
        kernel, stride = (7, 2) if stem == "imagenet" else (3, 1)
        net.conv1 = nn.Conv2d(spec.channels, self.width, kernel, stride, kernel // 2, bias=False)
        nn.init.kaiming_normal_(net.conv1.weight, mode="fan_out", nonlinearity="relu")
        if stem == "small":
            net.maxpool = nn.Identity()
        return Normalised(net, spec)
