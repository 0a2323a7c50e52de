"""A network with its own preprocessing before it: it takes images in [0, 1], as every network of the harness does."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from bench.checkpoint.preprocessing import Order


class Preprocessed(nn.Module):
    """``net`` on its own kind of input: takes RGB or grey images (N, C, H, W) in [0, 1], gives logits (N, classes)."""

    mean: Tensor
    std: Tensor

    def __init__(self, net: nn.Module, mean: Sequence[float], std: Sequence[float], order: Order = "rgb") -> None:
        super().__init__()
        self.net = net
        self.order = order
        self.register_buffer("mean", torch.tensor(mean).view(-1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(-1, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        ordered = images.flip(1) if self.order == "bgr" else images
        logits: Tensor = self.net((ordered - self.mean) / self.std)
        return logits
