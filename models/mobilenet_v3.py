"""MobileNetV3-Large: a network of inverted residual blocks for phones. Howard et al., ICCV 2019; built by timm.

It reduces the sides of an image 32 times, which would leave one pixel of a CIFAR-10 image. For small images its first
two strides, that of the stem and the next, are 1, as is common for MobileNets on CIFAR-10. It has no dropout here.
"""

from typing import ClassVar

from bench.models._mobile import Mobile


class MobileNetV3(Mobile):
    name: ClassVar[str] = "mobilenet_v3"
    source: ClassVar[str] = "Howard et al., ICCV 2019, arXiv 1905.02244 (timm)"
    architecture: ClassVar[str] = "mobilenetv3_large_100.ra_in1k"
