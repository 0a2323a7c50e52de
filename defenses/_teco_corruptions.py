"""Common corruptions of images at five severities, as batched tensor operations.

After Hendrycks, Dietterich, "Benchmarking Neural Network Robustness to Common Corruptions and Perturbations", ICLR
2019. Severities of corruptions of pixel values are those of ImageNet-C. Lengths there are pixels of 224; here they are
shares of the image's side, from hardly visible to unreadable. JPEG rounds the 8 x 8 cosine transform in each channel
separately; fog and elastic use smooth random fields. Snow, glass blur and frost, which needs
photographs, are left out. Random fields are drawn once, so that a corruption is a function of the image.
"""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

SEVERITIES = 5

NOISE = (0.08, 0.12, 0.18, 0.26, 0.38)  # standard deviation
PHOTONS = (60, 25, 12, 5, 3)  # at full brightness
IMPULSES = (0.03, 0.06, 0.09, 0.17, 0.27)  # share of the values that become 0 or 1
BRIGHTER = (0.1, 0.2, 0.3, 0.4, 0.5)
CONTRAST = (0.4, 0.3, 0.2, 0.1, 0.05)
FOG = (1.5, 2.0, 2.5, 2.75, 3.0)
PIXELS = (0.6, 0.5, 0.4, 0.3, 0.25)  # share of the pixels of a side that remains
QUALITY = (25, 18, 15, 10, 7)  # of JPEG
ZOOM = (1.11, 1.16, 1.21, 1.26, 1.31)  # the largest of those averaged
RADIUS = (0.03, 0.05, 0.08, 0.11, 0.14)  # share of the side, of a defocused point
MOTION = (0.03, 0.06, 0.09, 0.12, 0.15)  # share of the side, to either end of a streak
ELASTIC = (0.02, 0.03, 0.045, 0.06, 0.08)  # share of the side, root mean square of the displacement

Corruption = Callable[[Tensor, int], Tensor]  # images (N, C, H, W) in [0, 1] and a severity from 1 to 5 to images


def corruptions(shape: tuple[int, int, int], generator: torch.Generator) -> dict[str, Corruption]:
    """All corruptions of images of ``shape`` (C, H, W) by name; random fields are drawn from ``generator``."""
    device, (_, height, width) = generator.device, shape
    gaussian, photons = (torch.randn(shape, generator=generator, device=device) for _ in range(2))
    chance = torch.rand(shape, generator=generator, device=device)
    haze = torch.sigmoid(2 * smooth(1, height, width, generator))
    drift = smooth(2, height, width, generator)
    by_name: dict[str, Corruption] = {
        "gaussian_noise": lambda x, s: x + NOISE[s - 1] * gaussian,
        "shot_noise": lambda x, s: x + (x / PHOTONS[s - 1]).sqrt() * photons,
        "impulse_noise": lambda x, s: impulses(x, chance, IMPULSES[s - 1]),
        "brightness": lambda x, s: x + BRIGHTER[s - 1],
        "contrast": lambda x, s: torch.lerp(x.mean((2, 3), keepdim=True), x, CONTRAST[s - 1]),
        "fog": lambda x, s: (x + FOG[s - 1] * haze) / (1 + FOG[s - 1]),
        "pixelate": lambda x, s: pixelated(x, PIXELS[s - 1]),
        "jpeg": lambda x, s: jpeg(x, QUALITY[s - 1]),
        "zoom_blur": lambda x, s: zoomed(x, ZOOM[s - 1]),
        "defocus_blur": lambda x, s: blurred(x, disc(RADIUS[s - 1] * min(x.shape[2:]), x)),
        "motion_blur": lambda x, s: blurred(x, streak(MOTION[s - 1] * min(x.shape[2:]), x)),
        "elastic": lambda x, s: displaced(x, ELASTIC[s - 1] * drift),
    }
    return {name: _clipped(corruption) for name, corruption in by_name.items()}


def _clipped(corruption: Corruption) -> Corruption:
    return lambda images, severity: corruption(images, severity).clamp(0, 1)


def smooth(count: int, height: int, width: int, generator: torch.Generator) -> Tensor:
    """Random fields (count, H, W) that vary slowly, of mean square 1."""
    coarse = torch.randn((1, count, 4, 4), generator=generator, device=generator.device)
    field = F.interpolate(coarse, (height, width), mode="bicubic", align_corners=True)[0]
    return field / field.square().mean((1, 2), keepdim=True).sqrt()


def impulses(images: Tensor, chance: Tensor, share: float) -> Tensor:
    """``images`` with 0 where ``chance`` (C, H, W) is below share / 2, and 1 where it is above 1 - share / 2."""
    return torch.where(chance > 1 - share / 2, 1.0, torch.where(chance < share / 2, 0.0, images))


def pixelated(images: Tensor, share: float) -> Tensor:
    """``images`` averaged down to ``share`` of their pixels a side, and back at their size."""
    side = [max(1, round(share * length)) for length in images.shape[2:]]
    return F.interpolate(F.interpolate(images, side, mode="area"), images.shape[2:], mode="nearest")


def jpeg(images: Tensor, quality: int) -> Tensor:
    """``images`` with their 8 x 8 cosine coefficients rounded, more coarsely the higher the frequency."""
    height, width = images.shape[2:]
    padded = F.pad(images, (0, -width % 8, 0, -height % 8), mode="replicate") - 0.5
    blocks = padded.unflatten(3, (-1, 8)).unflatten(2, (-1, 8)).transpose(3, 4)  # (N, C, rows, columns, 8, 8)
    order = torch.arange(8, device=images.device, dtype=images.dtype)
    transform = torch.cos(math.pi / 8 * order[:, None] * (order + 0.5)) / 2
    transform[0] /= math.sqrt(2)
    # close to the standard's table for luminance
    step = 16 / 255 * (1 + (order[:, None] + order) / 2) * 50 / quality
    rounded = (transform @ blocks @ transform.T / step).round() * step
    restored: Tensor = (transform.T @ rounded @ transform).transpose(3, 4).reshape(padded.shape)
    return restored[:, :, :height, :width] + 0.5


def zoomed(images: Tensor, largest: float) -> Tensor:
    """The mean of ``images`` zoomed into by six factors, from 1 to ``largest``."""
    factors = [1 + (largest - 1) * step / 5 for step in range(6)]
    # a point of the result comes from 1 / factor of its distance from the centre
    grid = _identity(images)
    views = [F.grid_sample(images, _expanded(grid / factor, images), align_corners=False) for factor in factors]
    return torch.stack(views).mean(0)


def displaced(images: Tensor, shift: Tensor) -> Tensor:
    """``images`` whose value at each point comes from a point ``shift`` (2, H, W) away: across, down, in shares of the
    side."""
    grid = _identity(images) + 2 * shift.permute(1, 2, 0)
    return F.grid_sample(images, _expanded(grid, images), padding_mode="border", align_corners=False)


def _identity(images: Tensor) -> Tensor:
    """Where the pixels lie (H, W, 2), across and down, in the coordinates of ``grid_sample``."""
    down, across = ((2 * torch.arange(length, device=images.device) + 1) / length - 1 for length in images.shape[2:])
    return torch.stack(torch.meshgrid(across, down, indexing="xy"), 2)


def _expanded(grid: Tensor, images: Tensor) -> Tensor:
    return grid.expand(len(images), *grid.shape)


def disc(radius: float, like: Tensor) -> Tensor:
    """A disc (k, k) of ``radius`` pixels with soft edges, of sum 1."""
    reach = math.ceil(radius)
    offset = torch.arange(-reach, reach + 1, device=like.device)
    distance = (offset[:, None].square() + offset.square()).sqrt()
    kernel = (radius + 0.5 - distance).clamp(0, 1)
    return kernel / kernel.sum()


def streak(reach: float, like: Tensor) -> Tensor:
    """A diagonal line (k, k) of ``reach`` pixels to either side, of sum 1; a part of a pixel at its ends is fainter."""
    offset = torch.arange(-math.ceil(reach), math.ceil(reach) + 1, device=like.device)
    weight = (reach + 1 - offset.abs()).clamp(0, 1)
    return torch.diag(weight / weight.sum())


def blurred(images: Tensor, kernel: Tensor) -> Tensor:
    """``images`` convolved with ``kernel`` (k, k), k odd; beyond the border its values are repeated."""
    channels, reach = images.shape[1], len(kernel) // 2
    padded = F.pad(images, (reach,) * 4, mode="replicate")
    return F.conv2d(padded, kernel.expand(channels, 1, -1, -1), groups=channels)
