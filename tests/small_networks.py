"""Small networks with random weights, for tests that need another architecture than the planted victim's."""

from typing import Any

import timm
import torch
from torch import Tensor, nn

from bench.plugin.model import Model
from bench.plugin.values import ImageSpec


class TwoStages(nn.Module):
    """Two convolutions with batch normalisation, named ``early`` and ``late``, for grey images and three classes."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        self.early = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU())
        self.late = nn.Sequential(nn.Conv2d(4, 6, 3, stride=2), nn.BatchNorm2d(6), nn.ReLU())
        self.head = nn.Linear(6, 3)
        draws = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.copy_(torch.randn(parameter.shape, generator=draws) * 0.3 + (parameter.ndim == 1) * 0.5)
        self.eval()

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(self.late(self.early(images)).mean((2, 3)))
        return logits


def random_convolutions(images: Tensor, classes: int, norms: int = 3) -> nn.Sequential:
    """A network with ``norms`` batch normalisations that have the statistics of ``images`` (N, 1, H, W).

    Layers 0, 1, 2 are a convolution, a normalisation and a ReLU, and so on; every class is predicted for some images.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        layers: list[nn.Module] = []
        for index in range(norms):
            layers += [nn.Conv2d(4 if index else 1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU()]
        last = nn.Linear(4 * images[0, 0].numel(), classes)
        model = nn.Sequential(*layers, nn.Flatten(), last).train()
        with torch.no_grad():
            for layer in layers:
                if isinstance(layer, nn.BatchNorm2d):
                    nn.init.uniform_(layer.weight, 0.5, 1.5)
                    nn.init.uniform_(layer.bias, -0.5, 0.5)
            for _ in range(20):
                model(images)
            last.bias.sub_(model.eval()(images).mean(0))
            for parameter in last.parameters():
                parameter.mul_(5)
    return model


def tiny_vit(spec: ImageSpec, patch: int = 4, seed: int = 0) -> nn.Module:
    """A vision transformer of two blocks, in eval mode; ``patch`` pixels a side of a token."""
    sizes: dict[str, Any] = {"img_size": spec.height, "patch_size": patch, "in_chans": spec.channels}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network: nn.Module = timm.create_model(
            "vit_tiny_patch16_224", num_classes=spec.classes, embed_dim=24, depth=2, num_heads=2, **sizes
        )
    return network.eval()


class TinyViT(Model):
    """``tiny_vit`` as a model plugin."""

    name = "tiny-vit"

    def build(self, spec: ImageSpec) -> nn.Module:
        return tiny_vit(spec)
