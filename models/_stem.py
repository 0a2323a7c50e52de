"""Stems: how early a network reduces the resolution, which decides how much it sees of small images."""

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from bench.plugin import ImageSpec, Model
from bench.toolbox.networks import watching

Stem = Literal["small", "pooled", "imagenet"]


def is_small(spec: ImageSpec) -> bool:
    """Whether the images have at most 64 pixels a side: a stem made for ImageNet would leave little of them."""
    return max(spec.height, spec.width) <= 64


class Residual(Model):
    """Base of the residual networks, with a width and a stem that fits the images."""

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
    """The convolution of a residual network's stem, from ``channels`` to ``width`` channels."""
    kernel, stride = (7, 2) if stem == "imagenet" else (3, 1)
    convolution = nn.Conv2d(channels, width, kernel, stride, kernel // 2, bias=False)
    nn.init.kaiming_normal_(convolution.weight, mode="fan_out", nonlinearity="relu")
    return convolution


def keep_resolution(net: nn.Module, images: Tensor, levels: int = 2) -> None:
    """Change ``net`` in place so that its first ``levels`` reductions of ``images`` (N, C, H, W) keep the resolution.

    The convolutions in question get stride 1 and the poolings do nothing; parameters stay as they are. A network that
    reduces its input 32 times then reduces it 8 times, as the ResNets for CIFAR-10 do. A network that divides its input
    into patches, by a convolution whose stride is its kernel's size, is not changed.
    """
    heights = _input_heights(net, images)
    largest = sorted(set(heights.values()), reverse=True)[:levels]
    early = [module for module, height in heights.items() if height in largest]
    if any(isinstance(module, nn.Conv2d) and 1 < module.kernel_size[0] == module.stride[0] for module in early):
        return
    for module in early:
        if isinstance(module, nn.MaxPool2d | nn.AvgPool2d):
            module.kernel_size, module.padding = (1, 1), (0, 0)
        module.stride = (1, 1)  # type: ignore[assignment]  # a plain attribute, whatever nn.Module says of it


@torch.no_grad()
def _input_heights(net: nn.Module, images: Tensor) -> dict[nn.Module, int]:
    """The height of the input of every layer with a stride, when ``net`` runs on ``images``."""
    heights: dict[nn.Module, int] = {}

    def note(module: nn.Module, entering: Tensor) -> None:
        heights[module] = entering.shape[-2]

    strided = [
        module
        for module in net.modules()
        if not list(module.children()) and getattr(module, "stride", 1) not in (1, (1, 1))
    ]
    was_training = net.training
    try:
        with watching(strided, note, inputs=True):
            net.eval()(images)
    finally:
        net.train(was_training)
    return heights
