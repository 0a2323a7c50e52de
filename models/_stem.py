"""Stems: how soon a network gives up resolution, which decides whether it sees small images at all."""

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from bench.plugin import ImageSpec, Model

Stem = Literal["small", "pooled", "imagenet"]


def is_small(spec: ImageSpec) -> bool:
    """Whether images are so small, up to 64 pixels, that a stem made for ImageNet would leave little of them."""
    return max(spec.height, spec.width) <= 64


class Residual(Model):
    """Base of the residual networks: a width, and a stem that fits the images."""

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

    def stem_for(self, spec: ImageSpec) -> Stem:
        if self.stem == "auto":
            return "small" if is_small(spec) else "imagenet"
        return self.stem


def first_convolution(channels: int, width: int, stem: Stem) -> nn.Conv2d:
    """The convolution of a residual network's stem, from ``channels`` to ``width``."""
    kernel, stride = (7, 2) if stem == "imagenet" else (3, 1)
    convolution = nn.Conv2d(channels, width, kernel, stride, kernel // 2, bias=False)
    nn.init.kaiming_normal_(convolution.weight, mode="fan_out", nonlinearity="relu")
    return convolution


def keep_resolution(net: nn.Module, images: Tensor, levels: int = 2) -> None:
    """Let ``net``, in place, take ``images`` (N, C, H, W) through its first ``levels`` halvings at full resolution.

    Convolutions there get stride 1, poolings do nothing; parameters stay as they are. A network that reduces its input
    32 times then reduces it 8 times, as the ResNets for CIFAR-10 do. One that cuts its input into patches, in
    which a convolution's stride is its kernel's size, is left alone.
    """
    sides = _sides(net, images)
    first = sorted(set(sides.values()), reverse=True)[:levels]
    early = [module for module, side in sides.items() if side in first]
    if any(isinstance(module, nn.Conv2d) and 1 < module.kernel_size[0] == module.stride[0] for module in early):
        return
    for module in early:
        if isinstance(module, nn.MaxPool2d | nn.AvgPool2d):
            module.kernel_size, module.padding = (1, 1), (0, 0)
        module.stride = (1, 1)  # type: ignore[assignment]  # a plain attribute, whatever nn.Module says of it


@torch.no_grad()
def _sides(net: nn.Module, images: Tensor) -> dict[nn.Module, int]:
    """The height of what enters every layer with a stride when ``net`` sees ``images``."""
    sides: dict[nn.Module, int] = {}

    def note(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        sides[module] = inputs[0].shape[-2]

    hooks = [
        module.register_forward_pre_hook(note)
        for module in net.modules()
        if not list(module.children()) and getattr(module, "stride", 1) not in (1, (1, 1))
    ]
    was_training = net.training
    try:
        net.eval()(images)
    finally:
        net.train(was_training)
        for hook in hooks:
            hook.remove()
    return sides
