"""ResNet-18: a residual network of 18 layers. He et al., CVPR 2016; built by timm."""

from typing import ClassVar

from bench.models._resnet import ResNet


class ResNet18(ResNet):
    name: ClassVar[str] = "resnet18"
    source: ClassVar[str] = "He et al., CVPR 2016 (timm)"
