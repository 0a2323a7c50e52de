"""Small networks that plugins are tried on: a convolutional one, and a vision transformer."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.plugin.values import ImageSpec


class Normalised(nn.Module):
    """Images in [0, 1] normalised as ``spec`` says."""

    mean: Tensor
    std: Tensor

    def __init__(self, spec: ImageSpec) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(spec.mean).view(-1, 1, 1))
        self.register_buffer("std", torch.tensor(spec.std).view(-1, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        return (images - self.mean) / self.std


class SmallConv(nn.Module):
    """Three convolutions with batch normalisation, and a linear layer on what is seen in four quarters."""

    def __init__(self, spec: ImageSpec) -> None:
        super().__init__()
        self.normalise = Normalised(spec)
        self.stem = _convolution(spec.channels, 8, stride=1)
        self.layer1 = _convolution(8, 16, stride=2)
        self.layer2 = _convolution(16, 16, stride=2)
        self.pool = nn.AdaptiveAvgPool2d(2)
        self.head = nn.Linear(64, spec.classes)

    def forward(self, images: Tensor) -> Tensor:
        seen = self.layer2(self.layer1(self.stem(self.normalise(images))))
        logits: Tensor = self.head(self.pool(seen).flatten(1))
        return logits


def _convolution(before: int, after: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(before, after, 3, stride=stride, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU()
    )


class SmallTransformer(nn.Module):
    """A vision transformer of two blocks, as Dosovitskiy et al., ICLR 2021, with the mean of its tokens at the end."""

    def __init__(self, spec: ImageSpec, patch: int = 4, width: int = 32) -> None:
        super().__init__()
        self.normalise = Normalised(spec)
        self.patch_embed = nn.Conv2d(spec.channels, width, patch, stride=patch)
        self.pos_embed = nn.Parameter(0.5 * torch.randn(1, (spec.height // patch) * (spec.width // patch), width))
        self.blocks = nn.Sequential(_Block(width), _Block(width))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, spec.classes)

    def forward(self, images: Tensor) -> Tensor:
        tokens = self.patch_embed(self.normalise(images)).flatten(2).transpose(1, 2) + self.pos_embed
        logits: Tensor = self.head(self.norm(self.blocks(tokens)).mean(1))
        return logits


class _Block(nn.Module):
    def __init__(self, width: int, heads: int = 2) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, tokens: Tensor) -> Tensor:
        count, length, width = tokens.shape
        parts = self.qkv(self.norm1(tokens)).view(count, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        attended = F.scaled_dot_product_attention(*parts.unbind(0))
        tokens = tokens + self.proj(attended.transpose(1, 2).reshape(count, length, width))
        through: Tensor = tokens + self.mlp(self.norm2(tokens))
        return through
