"""torchvision: any classifier of the torchvision library by its name there, as in ``torchvision[name=resnet18]``.

The networks are torchvision's own, so that a state dict that was trained with it fits: its names, its strides. They
were made for images of 224 pixels; ``stem=small`` lets the first two layers that reduce the resolution keep it, for
images of 32. For another number of channels than three the first convolution is a new one. A vision transformer is
built for the images' size. Auxiliary classifiers are left out. TorchVision maintainers, 2016.
"""

import inspect
from typing import Any, ClassVar, Literal, Self

import torch
from pydantic import AliasChoices, Field
from torch import nn

from bench.models._library import OfLibrary, unknown_architecture
from bench.models._stem import keep_resolution
from bench.models._timm import Normalised, check_builds
from bench.plugin import ImageSpec, RequestError

_OPTIONS: dict[str, dict[str, Any]] = {  # what must be said of a network beside its classes
    "googlenet": {"aux_logits": False, "init_weights": True},
    "inception_v3": {"aux_logits": False, "init_weights": True},
}


class TorchVision(OfLibrary):
    name: ClassVar[str] = "torchvision"
    source: ClassVar[str] = "TorchVision maintainers and contributors, 2016"

    architecture: str = Field(
        "resnet18",
        validation_alias=AliasChoices("architecture", "name"),
        description="the network's name in torchvision, written name=…",
    )
    stem: Literal["imagenet", "small"] = Field(
        "imagenet", description="imagenet: as torchvision has it; small: the first two strides are 1"
    )

    def resolve(self, spec: ImageSpec) -> Self:
        _check_known(self.architecture)
        check_builds(self, spec, f"torchvision[name={self.architecture}]")
        return self

    def build(self, spec: ImageSpec) -> nn.Module:
        from torchvision import models  # heavy: planning does without it

        options = dict(_OPTIONS.get(self.architecture, {}))
        if "vit" in self.architecture and "maxvit" not in self.architecture:
            options["image_size"] = _one_side(spec)
        if "maxvit" in self.architecture:
            options["input_size"] = (spec.height, spec.width)
        net: nn.Module = models.get_model(self.architecture, weights=None, num_classes=spec.classes, **options)
        if spec.channels != 3:
            _take_channels(net, spec.channels)
        if self.stem == "small":
            keep_resolution(net, torch.zeros(1, *spec.shape))
        return Normalised(net, spec)


def _check_known(name: str) -> None:
    """Raise RequestError, with the nearest name, unless torchvision has the classifier ``name``."""
    from torchvision import models

    names = models.list_models(module=models)
    if name not in names:
        raise unknown_architecture("torchvision", name, names, f"one of {', '.join(names)}")


def _one_side(spec: ImageSpec) -> int:
    if spec.height != spec.width:
        raise RequestError(f"expected square images, not {spec.height}x{spec.width} pixels")
    return spec.height


def _take_channels(net: nn.Module, channels: int) -> None:
    """Replace the first convolution by one for images of so many channels."""
    name, first = next((name, module) for name, module in net.named_modules() if isinstance(module, nn.Conv2d))
    own = {
        option: getattr(first, option) for option in inspect.signature(nn.Conv2d).parameters if hasattr(first, option)
    }
    own |= {"in_channels": channels, "bias": first.bias is not None}
    parent, _, child = name.rpartition(".")
    setattr(net.get_submodule(parent), child, nn.Conv2d(**own))
