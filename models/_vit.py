"""Base of the vision transformers: timm's network with patches that fit the images."""

from typing import ClassVar, Self

from pydantic import Field
from torch import nn

from bench.models._patches import check_patches, transformer_patches
from bench.models._timm import Pretrainable, create
from bench.plugin import ImageSpec


class VisionTransformer(Pretrainable):
    """Base of the vision transformers. A subclass sets ``architecture``, timm's name with a tag."""

    architecture: ClassVar[str]

    patch_size: int | None = Field(
        None,
        ge=1,
        description="side of a patch in pixels, a divisor of the images' sides; filled in from the data set: 2 below "
        "24 pixels, 4 below 64, 8 below 160, else 16",
    )

    def resolve(self, spec: ImageSpec) -> Self:
        size = self.patch_size or transformer_patches(spec)
        check_patches(self.name, size, spec)
        return Pretrainable.resolve(self.model_copy(update={"patch_size": size}), spec)

    def build(self, spec: ImageSpec) -> nn.Module:
        size = self.patch_size or transformer_patches(spec)
        sides = {"img_size": (spec.height, spec.width), "patch_size": size}
        return self.normalised(create(self.architecture, spec, pretrained=self.pretrained, **sides), spec)
