"""The layers of a network whose activations can be read and changed, whatever its architecture."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from bench.toolbox.inference import Answers
from bench.toolbox.networks import Cut, Edit, Latent, edited, stages, watching

BATCH = 256  # images a pass


@dataclass(frozen=True)
class Layer:
    """Where a network can be intervened in: ``model(x)`` equals ``resume(read(x)[0].flatten(1))``."""

    name: str
    read: Callable[[Tensor], tuple[Tensor, Tensor]]  # images to activations (N, ...) and logits, in one pass
    resume: Callable[[Tensor], Tensor]  # flat activations (N, d) to logits
    run_edited: Callable[[Tensor, Edit], Tensor]  # images to logits, with the activations edited on the way

    def read_all(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Flat activations (N, d) and logits (N, C) of images (N, C, H, W), batch by batch."""
        activations, logits = zip(*(self.read(batch) for batch in images.split(BATCH)), strict=True)
        return torch.cat(activations).flatten(1), torch.cat(logits)


def layers_of(model: nn.Module, images: Tensor) -> list[Layer]:
    """Every stage of the network, by its output, and the latent before the last linear layer."""
    return [*(_behind(model, name, stage, images) for name, stage in stages(model).items()), _latent(model, images)]


def _behind(model: nn.Module, name: str, stage: nn.Module, images: Tensor) -> Layer:
    cut = Cut(model, stage, images)
    shape = cut.before(images[:1]).shape[1:]

    def run_edited(some: Tensor, edit: Edit) -> Tensor:
        with edited(stage, edit):
            logits: Tensor = model(some)
        return logits

    return Layer(name, _reader(model, stage), lambda flat: cut.after(flat.unflatten(1, shape)), run_edited)


def _latent(model: nn.Module, images: Tensor) -> Layer:
    latent = Latent(model, images)
    linear = latent.linear
    read = _reader(model, linear, inputs=True)
    return Layer("latent", read, linear, lambda some, edit: linear(edit(latent.features(some))))


def _reader(model: nn.Module, module: nn.Module, *, inputs: bool = False) -> Callable[[Tensor], tuple[Tensor, Tensor]]:
    """The network, run so that it also gives the output (N, ...) of ``module``, or its input."""

    answers = Answers(model)  # what is not flagged has the victim's logits, computed as these are

    def read(images: Tensor) -> tuple[Tensor, Tensor]:
        seen: list[Tensor] = []
        with watching(module, lambda _, value: seen.append(value.float()), inputs=inputs):
            logits = answers(images)
        return seen[-1], logits

    return read
