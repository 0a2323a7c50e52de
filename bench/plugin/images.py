"""Working with labelled image tensors: batches, augmentation, stratified orders."""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor


def batches(count: int, size: int, generator: torch.Generator, device: torch.device) -> Iterator[Tensor]:
    """One epoch of batches: indices (``size``,) of ``count`` images in random order; the last batch may be smaller.

    A last batch of a single image is left out, because batch normalisation cannot train on it.
    """
    order = torch.randperm(count, generator=generator, device=device)
    yield from order.split(size)[: steps_per_epoch(count, size)]


def steps_per_epoch(count: int, size: int) -> int:
    """The number of batches of ``size`` that ``batches`` yields for ``count`` images; a schedule needs it."""
    full, rest = divmod(count, size)
    return full + (rest > 1) - (size == 1) * full


def images_at_once(most: int, height: int, width: int) -> int:
    """How many images of this size to work on at once.

    Up to 64x64 pixels ``most`` of them; of larger ones as many as have so many pixels in all, but at least 8.
    """
    return min(most, max(8, most * 64 * 64 // (height * width)))


def augment(images: Tensor, generator: torch.Generator, *, crop: int, flip: bool) -> Tensor:
    """Images (N, C, H, W) padded by ``crop`` pixels and cropped at random; with ``flip`` half of them are mirrored."""
    count, _, height, width = images.shape
    device = images.device
    if crop:
        padded = F.pad(images, (crop,) * 4)
        shift = torch.randint(0, 2 * crop + 1, (2, count), generator=generator, device=device)
        rows = shift[0, :, None, None] + torch.arange(height, device=device)[:, None]
        columns = shift[1, :, None, None] + torch.arange(width, device=device)
        images = padded.permute(0, 2, 3, 1)[torch.arange(count, device=device)[:, None, None], rows, columns]
        images = images.permute(0, 3, 1, 2)
    if flip:
        chosen = torch.rand(count, generator=generator, device=device) < 0.5
        images = torch.where(chosen[:, None, None, None], images.flip(-1), images)
    return images


def stratified_order(labels: Tensor, generator: torch.Generator) -> Tensor:
    """A random order of images: indices (N,). Every prefix of it holds the classes of ``labels`` (N,) in about the
    proportions of the whole."""
    shuffled = torch.randperm(len(labels), generator=generator, device=labels.device)
    shuffled_labels = labels[shuffled]
    position = torch.zeros(len(labels), dtype=torch.float64, device=labels.device)
    for label in shuffled_labels.unique():
        members = (shuffled_labels == label).nonzero()[:, 0]
        position[members] = (torch.arange(len(members), device=labels.device, dtype=torch.float64) + 0.5) / len(members)
    return shuffled[position.argsort(stable=True)]
