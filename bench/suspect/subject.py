"""What a scan or a repair works on: a network, and clean images of somebody's with labels, on one device."""

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bench.cell import metrics
from bench.errors import RequestError, one_line
from bench.plugin.attack import as_bytes
from bench.plugin.images import images_at_once
from bench.plugin.values import ImageSpec, LabelledImages
from bench.toolbox.inference import Answers
from bench.toolbox.precision import expect_finite


@dataclass(frozen=True)
class Subject:
    """A suspicious network in eval mode, which nobody changes, and the images that a defender has.

    labelled: whether the labels are the images' own; else they are the network's answers. names: of classes.
    """

    network: nn.Module
    images: LabelledImages
    labelled: bool
    spec: ImageSpec
    names: Mapping[int, str] = field(default_factory=dict)

    @property
    def device(self) -> torch.device:
        return self.images.labels.device

    def name(self, label: int) -> str:
        """A class in words: its number, and its name where it has one that says more."""
        name = self.names.get(label, "")
        return f"{label} ({name})" if name and not name.isdecimal() else str(label)

    def copy(self) -> nn.Module:
        """A copy of the network that a defense may change."""
        return deepcopy(self.network)


def subject(
    network: nn.Module,
    images: Any,
    labels: Any = None,
    *,
    device: str | torch.device = "auto",
    spec: ImageSpec | None = None,
    names: Mapping[int, str] | None = None,
) -> Subject:
    """A network with images (N, C, H, W), uint8 or floating point in [0, 1], and their labels (N,) if there are any.

    images, labels: tensors or arrays. spec: of the images, where more is known of them than shape and classes. The
    network is copied; the given one stays as it is. Raises RequestError for what does not fit, in one line.
    """
    if not isinstance(network, nn.Module):
        raise RequestError(
            f"network: got a {type(network).__name__}, expected an nn.Module that takes images in [0, 1]"
        )
    place = _device(device)
    pictures = _images(images).to(place)
    copied = deepcopy(network).to(place).eval()
    try:
        expect_finite(copied)
    except ValueError as error:
        raise RequestError(f"network: {error}") from None
    logits = _answers(copied, pictures)
    classes = logits.shape[1]
    known = logits.argmax(1) if labels is None else _labels(labels, len(pictures), classes).to(place)
    if len(known.unique()) < 2:
        what = "labels" if labels is not None else "the network's answers"
        raise RequestError(f"images of one class by {what}: expected two or more classes")
    if spec is None:
        channels, height, width = pictures.shape[1:]
        spec = ImageSpec(channels, height, width, classes, (0.0,) * channels, (1.0,) * channels)
    return Subject(copied, LabelledImages(pictures, known), labels is not None, spec, names or {})


def accuracy(network: nn.Module, data: LabelledImages) -> float:
    """The share of images that the network classifies as their label."""
    return metrics.accuracy(_answers(network, data.images).argmax(1), data.labels)


def _answers(network: nn.Module, images: Tensor) -> Tensor:
    """The logits (N, classes) for uint8 images."""
    size = images_at_once(256, images.shape[2], images.shape[3])
    ask, some = Answers(network), images.split(size)
    try:
        given = [ask(part.float() / 255) for part in some]
    except Exception as error:  # the network may be anybody's
        raise RequestError(f"network: cannot be asked about images {tuple(images.shape)}: {one_line(error)}") from error
    if not all(isinstance(part, Tensor) and part.ndim == 2 for part in given):
        kind = tuple(given[0].shape) if isinstance(given[0], Tensor) else type(given[0]).__name__
        raise RequestError(f"network: gives {kind} for {len(some[0])} images, expected logits (N, classes)")
    return torch.cat(given)


def _images(images: Any) -> Tensor:
    if not isinstance(images, Tensor | np.ndarray):
        raise RequestError(f"images: got a {type(images).__name__}, expected a tensor or array (N, C, H, W)")
    tensor = torch.as_tensor(images).detach()
    if tensor.ndim != 4 or tensor.shape[1] not in (1, 3):
        raise RequestError(f"images: got {tuple(tensor.shape)}, expected (N, C, H, W) with 1 or 3 channels")
    if not len(tensor):
        raise RequestError("images: there are 0, expected some")
    if tensor.dtype == torch.uint8:
        return tensor
    if not tensor.is_floating_point() or not 0 <= float(tensor.min()) <= float(tensor.max()) <= 1:
        span = f"{tensor.dtype} from {float(tensor.min()):g} to {float(tensor.max()):g}"
        raise RequestError(f"images: got {span}, expected uint8, or floating point in [0, 1]")
    return as_bytes(tensor)


def _labels(labels: Any, count: int, classes: int) -> Tensor:
    tensor = torch.as_tensor(labels).detach()
    if tensor.shape != (count,) or tensor.is_floating_point() or tensor.dtype == torch.bool:
        raise RequestError(f"labels: got {tensor.dtype} {tuple(tensor.shape)}, expected whole numbers ({count},)")
    if not 0 <= int(tensor.min()) <= int(tensor.max()) < classes:
        span = f"{int(tensor.min())} to {int(tensor.max())}"
        raise RequestError(f"labels: got {span}, expected 0 to {classes - 1}, the network's classes")
    return tensor.long()


def _device(device: str | torch.device) -> torch.device:
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        place = torch.device(device)
        torch.zeros(1, device=place)
    except (RuntimeError, AssertionError) as error:
        raise RequestError(f"--device {device}: cannot be used: {one_line(error)}") from None
    return place
