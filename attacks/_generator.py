"""A small encoder-decoder that attacks train: from an image to a map of the image's size."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from bench.plugin import AttackContext
from bench.toolbox.networks import channels_last


class Generator(nn.Module):
    """Images (N, C, H, W) in [0, 1], of any size, to unbounded maps (N, outputs, H, W).

    Two strided convolutions down and two sub-pixel convolutions up, with skip connections between them. It normalises
    by groups, so that an image's map does not depend on the other images of its batch.
    """

    def __init__(self, channels: int, outputs: int, width: int) -> None:
        super().__init__()
        self.down = _block(channels, width, stride=2)
        self.deeper = nn.Sequential(_block(width, 2 * width, stride=2), _block(2 * width, 2 * width))
        self.up = _twice(2 * width, width)
        self.middle = _block(width, width)
        self.last = _twice(width, outputs)
        self.direct = nn.Conv2d(channels, outputs, 3, padding=1)

    def forward(self, images: Tensor) -> Tensor:
        centred = channels_last(2 * images - 1)
        half = self.down(centred)
        half = self.middle(half + _cropped(self.up(self.deeper(half)), half))
        maps: Tensor = _cropped(self.last(half), centred) + self.direct(centred)
        return maps


def new_generator(outputs: int, width: int, context: AttackContext) -> Generator:
    """A generator for images of ``context.spec``, on the context's device, initialised from its random generator.

    outputs: channels of the maps; width: channels of the network at half the image's size, a multiple of 4.
    """
    seed = int(torch.randint(2**62, (1,), generator=context.generator, device=context.device))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        generator = Generator(context.spec.channels, outputs, width)
    return generator.to(context.device).to(memory_format=torch.channels_last)


def weights_of(generator: Generator, prefix: str) -> dict[str, Tensor]:
    """Copies of the weights by name, each name with ``prefix``, to be kept as learned values."""
    return {prefix + name: value.detach().clone() for name, value in generator.state_dict().items()}


def from_weights(learned: Mapping[str, Tensor], prefix: str, channels: int, outputs: int, width: int) -> Generator:
    """The generator whose ``weights_of``, with this prefix, are in ``learned``; its weights need no gradients."""
    with torch.device("meta"):  # draws nothing from the global random generator
        generator = Generator(channels, outputs, width)
    weights = {name.removeprefix(prefix): value for name, value in learned.items() if name.startswith(prefix)}
    generator.load_state_dict(weights, assign=True)
    return generator.requires_grad_(False).to(memory_format=torch.channels_last)


def _block(channels: int, outputs: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, outputs, 3, stride, padding=1), nn.GroupNorm(4, outputs), nn.LeakyReLU(0.1)
    )


def _twice(channels: int, outputs: int) -> nn.Sequential:
    """A convolution to maps (N, outputs, 2 H, 2 W) of twice the size."""
    return nn.Sequential(nn.Conv2d(channels, 4 * outputs, 3, padding=1), nn.PixelShuffle(2))


def _cropped(maps: Tensor, like: Tensor) -> Tensor:
    """``maps`` cut to the size of ``like``: images of an odd size come back one pixel too large."""
    return maps[..., : like.shape[-2], : like.shape[-1]]
