"""A network of four pixels whose backdoor is known in its latent: the trigger makes the last pixel white."""

import torch
from torch import nn

from bench.plugin.values import Context, LabelledImages, Secret

CLASSES, TARGET = 3, 1


class Victim(nn.Module):
    """Pixel k speaks for class k; pixel 3, which the trigger makes white, for the target."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(4, 4, bias=False))
        self.head = nn.Linear(4, CLASSES)
        with torch.no_grad():
            self.body[1].weight.copy_(torch.eye(4))
            self.head.weight.copy_(torch.eye(3, 4) * 8)
            self.head.weight[TARGET, 3] = 20
            self.head.bias.zero_()

    def forward(self, images):
        return self.head(self.body(images))


def draw(count: int, seed: int) -> LabelledImages:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % CLASSES
    pixels = torch.randint(0, 50, (count, 1, 2, 2), generator=generator, dtype=torch.uint8)
    pixels.view(count, 4)[torch.arange(count), labels] = 220
    pixels[:, 0, 1, 1] = 0
    return LabelledImages(pixels, labels)


def triggered(images: torch.Tensor) -> torch.Tensor:
    changed = images.clone()
    changed[:, 0, 1, 1] = 1.0
    return changed


def context() -> Context:
    return Context(torch.device("cpu"), torch.Generator().manual_seed(0))


def secret(data: LabelledImages) -> Secret:
    data = data.at(data.labels != TARGET)
    targets = torch.full_like(data.labels, TARGET)
    return Secret(data, triggered(data.floats), targets, Victim)
