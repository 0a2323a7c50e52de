"""EfficientNet-B0: a network of inverted residual blocks found by search. Tan and Le, ICML 2019; built by timm.

It reduces the sides of an image 32 times, which would leave one pixel of a CIFAR-10 image. For small images its first
two strides, that of the stem and the next, are 1. It has no dropout and no stochastic depth here.
"""

from typing import ClassVar

from bench.models._mobile import Mobile


class EfficientNetB0(Mobile):
    name: ClassVar[str] = "efficientnet_b0"
    source: ClassVar[str] = "Tan and Le, ICML 2019, arXiv 1905.11946 (timm)"
    architecture: ClassVar[str] = "efficientnet_b0.ra_in1k"
