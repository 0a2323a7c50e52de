"""ViT-S: a vision transformer with 12 blocks, 384 dimensions and 6 heads. Touvron et al., ICML 2021; built by timm.

The vision transformer is by Dosovitskiy et al., ICLR 2021; this size is that of DeiT. The patches fit the images: 4
pixels at 32x32, 8 at 64x64, 16 from 160x160 on. Images whose sides the patches do not divide are refused.
"""

from typing import ClassVar

from bench.models._vit import VisionTransformer


class ViTSmall(VisionTransformer):
    name: ClassVar[str] = "vit_small"
    source: ClassVar[str] = "Dosovitskiy et al., ICLR 2021, arXiv 2010.11929; Touvron et al., ICML 2021 (timm)"
    architecture: ClassVar[str] = "vit_small_patch16_224.augreg_in21k_ft_in1k"
