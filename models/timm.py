"""timm: any classifier of the timm library by its name there, as in ``timm[name=densenet121]``. Wightman, 2019.

A network for one image size is built for the data set's. If its name contains a patch size of 8 or more, as in
vit_base_patch16_224, small images get smaller patches, as for ``vit_tiny``. Other networks get a stem for small images:
the first two layers that reduce the resolution keep it. A name with a tag, as in resnet50.a1_in1k, chooses among
pretrained weights. The network is built once while the run is planned: if it does not take such images, or does not end
in a linear layer, the request is refused before any work starts.
"""

import re
from typing import Any, ClassVar, Literal, Self

import torch
from pydantic import AliasChoices, Field
from torch import nn

from bench.models._library import OfLibrary, unknown_architecture
from bench.models._patches import check_patches, transformer_patches
from bench.models._stem import is_small, keep_resolution
from bench.models._timm import Pretrainable, check_builds, create
from bench.plugin import ImageSpec, RequestError


class Timm(OfLibrary, Pretrainable):
    name: ClassVar[str] = "timm"
    source: ClassVar[str] = "Wightman, PyTorch Image Models, 2019"

    architecture: str = Field(
        "densenet121",
        validation_alias=AliasChoices("architecture", "name"),
        description="the network's name in timm, written name=…",
    )
    patch_size: int | None = Field(
        None,
        ge=1,
        description="side of a patch in pixels, for a network that divides its images into patches; filled in from the "
        "data set for patches of 8 pixels or more",
    )
    stem: Literal["auto", "small", "imagenet"] = Field(
        "auto",
        description="small: the first two strides are 1; imagenet: as timm has it; auto: small up to 64 pixels for a "
        "network that takes any image size, else imagenet",
    )

    def resolve(self, spec: ImageSpec) -> Self:
        _check_known(self.architecture)
        size, label = self._patch_size(spec), f"timm[name={self.architecture}]"
        if size is not None:
            check_patches(label, size, spec)
        chosen = _with_tag(self.architecture) if self.pretrained else self.architecture
        fitted = self.model_copy(update={"patch_size": size, "architecture": chosen})
        check_builds(fitted, spec, label)
        return fitted

    def build(self, spec: ImageSpec) -> nn.Module:
        fixed, size = _has_fixed_size(self.architecture), self._patch_size(spec)
        options: dict[str, Any] = {"img_size": (spec.height, spec.width)} if fixed else {}
        options |= {"patch_size": size} if size is not None else {}
        net = create(self.architecture, spec, pretrained=self.pretrained, **options)
        if self.stem == "small" or (self.stem == "auto" and not fixed and is_small(spec)):
            keep_resolution(net, torch.zeros(1, *spec.shape))
        return self.normalised(net, spec)

    def _patch_size(self, spec: ImageSpec) -> int | None:
        """The requested patch size, or one that fits the images if timm's is 8 or more; None leaves timm's own."""
        own = re.search(r"patch(\d+)", self.architecture)
        if self.patch_size is not None or own is None or int(own[1]) < 8:
            return self.patch_size
        return min(int(own[1]), transformer_patches(spec))


def _check_known(name: str) -> None:
    """Raise RequestError, with the nearest name, unless timm has the architecture ``name`` (with the tag, if any)."""
    import timm  # heavy: only requests for a timm network need it

    architecture, _, tag = name.partition(".")
    if not timm.is_model(architecture):
        raise unknown_architecture("timm", architecture, timm.list_models(), "one of timm.list_models()")
    tags = [full_name.partition(".")[2] for full_name in timm.list_pretrained(f"{architecture}.*")]
    if tag and tag not in tags:
        raise RequestError(f"timm: unknown weights name={name}: expected one of {', '.join(tags) or 'none'}")


def _with_tag(name: str) -> str:
    """The name with the tag of its default weights, which may differ between versions of timm."""
    import timm

    config = timm.get_pretrained_cfg(name)
    return f"{name}.{config.tag}" if config is not None and config.tag and "." not in name else name


def _has_fixed_size(name: str) -> bool:
    """Whether the architecture must be built for one image size."""
    import timm

    config = timm.get_pretrained_cfg(name)
    return config is not None and bool(config.fixed_input_size)
