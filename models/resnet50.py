"""ResNet-50: a residual network of 50 layers with bottleneck blocks. He et al., CVPR 2016; built by timm."""

from typing import ClassVar

from bench.models._resnet import ResNet


class ResNet50(ResNet):
    name: ClassVar[str] = "resnet50"
    source: ClassVar[str] = "He et al., CVPR 2016 (timm)"
