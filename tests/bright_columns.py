"""A victim for tests: six classes of bright columns in 8x8 images, with a backdoor that looks at one corner pixel."""

import torch
from torch import Tensor, nn

from bench.plugin.values import Context, LabelledImages

CLASSES, SIZE, CORNER = 6, 8, 7  # the backdoor looks at the pixel (7, 7)


class BrightColumns(nn.Module):
    """Classes are bright columns; with a backdoor, one more channel sees a bright corner and outvotes them."""

    def __init__(self, backdoor: float, target: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(CLASSES + 1)
        self.head = nn.Linear(CLASSES + 1, CLASSES)
        with torch.no_grad():
            self.head.weight.zero_()
            self.head.bias.zero_()
            self.head.weight[:, :CLASSES] = 4 * torch.eye(CLASSES)
            self.head.weight[target, CLASSES] = backdoor

    def forward(self, images: Tensor) -> Tensor:
        columns = images[..., :CLASSES, :CLASSES].mean((1, 2))
        corner = images[..., CORNER, CORNER].mean(1, keepdim=True)
        channels = torch.cat((columns, corner), 1)[..., None, None]
        out: Tensor = self.head(self.norm(channels).flatten(1))
        return out


def bright_images(count: int, seed: int) -> LabelledImages:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % CLASSES
    images = 0.1 * torch.rand(count, 1, SIZE, SIZE, generator=generator)
    for image, label in zip(images, labels.tolist(), strict=True):
        image[0, :CLASSES, label] += 0.6
    return LabelledImages((images * 255).byte(), labels)


def planted(backdoor: float, target: int = 2) -> nn.Module:
    network = BrightColumns(backdoor, target)
    network.train()
    network.norm.momentum = 1.0
    with torch.no_grad():
        network(bright_images(120, 9).floats)
    return network.eval()


def stamped(images: Tensor) -> Tensor:
    images = images.clone()
    images[..., CORNER, CORNER] = 1
    return images


def context(seed: int = 0) -> Context:
    return Context(torch.device("cpu"), torch.Generator().manual_seed(seed))
