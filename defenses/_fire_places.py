"""Places of a network where its activations can be read and changed, whatever its architecture."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from bench.toolbox.networks import Cut, Edit, Latent, edited, stages


@dataclass(frozen=True)
class Place:
    """Where a network can be intervened in: ``model(x)`` equals ``after(look(x)[0].flatten(1))``."""

    name: str
    look: Callable[[Tensor], tuple[Tensor, Tensor]]  # images to activations (N, ...) and logits, in one pass
    after: Callable[[Tensor], Tensor]  # flat activations (N, d) to logits
    through: Callable[[Tensor, Edit], Tensor]  # images to logits, with the activations edited on the way


def places(model: nn.Module, images: Tensor) -> list[Place]:
    """Every stage of the network, by what it puts out, and the latent before the last linear layer."""

    def behind(name: str, module: nn.Module) -> Place:
        cut = Cut(model, module, images)
        shape = cut.before(images[:1]).shape[1:]

        def through(some: Tensor, edit: Edit) -> Tensor:
            with edited(module, edit):
                logits: Tensor = model(some)
            return logits

        look = _watched(model, module, output=True)
        return Place(name, look, lambda flat: cut.after(flat.unflatten(1, shape)), through)

    latent = Latent(model, images)
    linear = latent.linear
    last = Place(
        "latent",
        _watched(model, linear, output=False),
        linear,
        lambda some, edit: linear(edit(latent.features(some))),
    )
    return [*(behind(name, module) for name, module in stages(model).items()), last]


def _watched(model: nn.Module, module: nn.Module, *, output: bool) -> Callable[[Tensor], tuple[Tensor, Tensor]]:
    """The network, run so that it also gives what ``module`` puts out, or takes in (N, ...)."""

    def look(images: Tensor) -> tuple[Tensor, Tensor]:
        seen: list[Tensor] = []
        hook = module.register_forward_hook(lambda _, given, made: seen.append(made if output else given[0]))
        try:
            logits: Tensor = model(images)
        finally:
            hook.remove()
        return seen[-1], logits

    return look


def look_at(place: Place, images: Tensor) -> tuple[Tensor, Tensor]:
    """``place.look`` batch by batch, the activations flat (N, d)."""
    activations, logits = zip(*(place.look(batch) for batch in images.split(256)), strict=True)
    return torch.cat(activations).flatten(1), torch.cat(logits)
