"""Labelled image tensors on a device: batches, augmentation, stratified draws."""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor


def batches(count: int, size: int, generator: torch.Generator, device: torch.device) -> Iterator[Tensor]:
    """The numbers below ``count`` in a random order, ``size`` at a time: ``steps_per_epoch`` tensors of indices.

    A last batch of a single image is left out: batch normalisation cannot train on it.
    """
    order = torch.randperm(count, generator=generator, device=device)
    yield from order.split(size)[: steps_per_epoch(count, size)]


def steps_per_epoch(count: int, size: int) -> int:
    """How many batches ``batches`` makes of ``count`` images: what a schedule of the learning rate goes by."""
    full, rest = divmod(count, size)
    return full + (rest > 1) - (size == 1) * full


def augment(images: Tensor, generator: torch.Generator, *, crop: int, flip: bool) -> Tensor:
    """Random crops of images (N, C, H, W) padded by ``crop`` pixels, and mirror images of half of them."""
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
    """A random order (N,) of ``labels`` (N,) of which every beginning holds the classes in about their shares."""
    shuffled = torch.randperm(len(labels), generator=generator, device=labels.device)
    mixed = labels[shuffled]
    place = torch.zeros(len(labels), dtype=torch.float64, device=labels.device)
    for label in mixed.unique():
        members = (mixed == label).nonzero()[:, 0]
        place[members] = (torch.arange(len(members), device=labels.device, dtype=torch.float64) + 0.5) / len(members)
    return shuffled[place.argsort(stable=True)]
