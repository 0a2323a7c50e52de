"""Networks from timm, ready for images in [0, 1] of any size: what the plugins in this folder share."""

from typing import Any

import torch
from torch import Tensor, nn

from bench.plugin import ImageSpec


class Normalised(nn.Module):
    """``net`` behind the normalisation of its inputs: images (N, C, H, W) in [0, 1] to logits."""

    mean: Tensor
    std: Tensor

    def __init__(self, net: nn.Module, spec: ImageSpec) -> None:
        super().__init__()
        self.net = net
        self.register_buffer("mean", torch.tensor(spec.mean).view(-1, 1, 1))
        self.register_buffer("std", torch.tensor(spec.std).view(-1, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.net((images - self.mean) / self.std)
        return logits


def create(name: str, spec: ImageSpec, **options: Any) -> nn.Module:
    """timm's architecture ``name`` for the images and classes of ``spec``, freshly initialised."""
    import timm  # heavy: planning does without

    return timm.create_model(name, num_classes=spec.classes, in_chans=spec.channels, **options)
