"""ConvNeXt-T: a convolutional network modelled on vision transformers. Liu et al., CVPR 2022; built by timm.

It divides the image into patches of 4 pixels and halves the sides three times more, which would leave one pixel of a
CIFAR-10 image. The patches therefore fit the images: 2 pixels up to 64x64. It has layer normalisation, no batch
normalisation, and here no stochastic depth.
"""

from typing import ClassVar, Self

from pydantic import Field
from torch import nn

from bench.models._patches import check_patches
from bench.models._timm import Pretrainable, create
from bench.plugin import ImageSpec, RequestError


class ConvNeXtTiny(Pretrainable):
    name: ClassVar[str] = "convnext_tiny"
    source: ClassVar[str] = "Liu et al., CVPR 2022, arXiv 2201.03545 (timm)"

    patch_size: int | None = Field(
        None,
        ge=1,
        description="side of a patch in pixels, a divisor of the images' sides; filled in from the data set: 1 up to "
        "16 pixels, 2 up to 64, else 4; the pretrained weights have 4",
    )

    def resolve(self, spec: ImageSpec) -> Self:
        size = self._patch_size(spec)
        if self.pretrained and size != 4:
            raise RequestError(
                f"convnext_tiny: patch_size={size}: expected 4 with pretrained=true, as the weights have it"
            )
        check_patches(self.name, size, spec)
        if min(spec.height, spec.width) < 8 * size:
            raise RequestError(
                f"convnext_tiny: patch_size={size}: expected at most an eighth of the images' sides, "
                f"{spec.height}x{spec.width} pixels"
            )
        return Pretrainable.resolve(self.model_copy(update={"patch_size": size}), spec)

    def build(self, spec: ImageSpec) -> nn.Module:
        size = self._patch_size(spec)
        net = create("convnext_tiny.in12k_ft_in1k", spec, pretrained=self.pretrained, patch_size=size)
        if size == 2:  # timm's first stage would halve the sides here, and the patches would have gained nothing
            net.get_submodule("stages.0").downsample = nn.Identity()
        return self.normalised(net, spec)

    def _patch_size(self, spec: ImageSpec) -> int:
        if self.patch_size is not None or self.pretrained:
            return self.patch_size or 4
        side = max(spec.height, spec.width)
        return 1 if side <= 16 else 2 if side <= 64 else 4
