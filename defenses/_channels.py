"""Channels: which convolutions feed which batch normalisation, and masks over the channels of a network.

Everything goes by what the forward pass does, not by names or by the order in which modules are declared. A channel is
masked by multiplying the gain of its normalisation layer, as ANP (Wu and Wang, NeurIPS 2021) does.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.autograd.graph import Node

from bench.plugin import LabelledImages
from bench.toolbox.networks import batch_norms
from bench.toolbox.training import autocast, logits_of

Norm = nn.BatchNorm2d  # stands for every normalisation layer with a gain and an offset (K,)
Channels = list[Tensor]  # a value (K,) for each channel of each layer

_SAME_CHANNELS = ("Add", "Clone", "ToCopy", "Alias")  # operations behind which a channel is the same channel


def fed_by(model: nn.Module, images: Tensor) -> dict[str, list[nn.Conv2d]]:
    """The batch normalisations with gains by name, each with the convolutions whose outputs it normalises.

    A convolution feeds a layer if its output arrives through nothing but additions: at once, as in ResNets, or over
    skip connections too, as in pre-activation networks. Layers that no convolution feeds are left out: those of dense
    vectors, or behind a concatenation.
    """
    made: dict[Node, nn.Conv2d] = {}
    entered: dict[str, list[Node]] = {}

    def remember(layer: nn.Module, _: object, output: Tensor) -> None:
        made[cast(Node, output.grad_fn)] = cast(nn.Conv2d, layer)

    def note(name: str, value: Tensor) -> None:
        if value.grad_fn is not None:
            entered.setdefault(name, []).append(value.grad_fn)

    hooks = [m.register_forward_hook(remember) for m in model.modules() if isinstance(m, nn.Conv2d)]
    hooks += [
        layer.register_forward_pre_hook(lambda _, inputs, name=name: note(name, inputs[0]))
        for name, layer in batch_norms(model).items()
        if layer.weight is not None
    ]
    try:
        with torch.enable_grad():  # from the images on, so that every tensor knows what made it
            model(images[:1].detach().clone().requires_grad_())
    finally:
        for hook in hooks:
            hook.remove()
    found = {name: [conv for node in nodes for conv in _origins(node, made)] for name, nodes in entered.items()}
    return {name: convolutions for name, convolutions in found.items() if convolutions}


def _origins(node: Node, made: dict[Node, nn.Conv2d]) -> list[nn.Conv2d]:
    found, waiting, seen = [], [node], {node}
    while waiting:
        current = waiting.pop()
        if current in made:
            found.append(made[current])
        elif current.name().startswith(_SAME_CHANNELS):
            before = [parent for parent, _ in current.next_functions if parent is not None and parent not in seen]
            seen.update(before)
            waiting.extend(before)
    return found


def scaled_layers(model: nn.Module) -> dict[str, Norm]:
    """The layers by name whose gains stand for channels: the batch normalisations, or where a network has none, its
    layer and group normalisations."""
    layers = batch_norms(model) or {
        name: module for name, module in model.named_modules() if isinstance(module, nn.LayerNorm | nn.GroupNorm)
    }
    return {name: cast(Norm, layer) for name, layer in layers.items() if layer.weight is not None}


def rescaled(
    model: nn.Module, layers: dict[str, Norm], gains: Channels, offsets: Channels | None = None
) -> Callable[[Tensor], Tensor]:
    """``model`` with the gain of every channel of ``layers`` multiplied by ``gains``, its offset by ``offsets``.

    In training mode batch normalisation takes the statistics of the batch, and the network's own stay as they are.
    """
    changed = {
        f"{name}.weight": layer.weight.detach() * gain
        for (name, layer), gain in zip(layers.items(), gains, strict=True)
    }
    for (name, layer), offset in zip(layers.items(), offsets or [], strict=bool(offsets)):
        if layer.bias is not None:
            changed[f"{name}.bias"] = layer.bias.detach() * offset

    if model.training:
        changed |= {name: buffer.clone() for name, buffer in model.named_buffers()}

    def logits(images: Tensor) -> Tensor:
        with autocast(images.device):
            out: Tensor = torch.func.functional_call(
                model, changed, images.contiguous(memory_format=torch.channels_last)
            )
        return out.float()

    return logits


def descend(optimizer: torch.optim.Optimizer, masks: Channels, loss: Tensor) -> None:
    """One step of ``optimizer`` on ``masks``, which stay in [0, 1]; the network itself gets no gradient."""
    for mask, gradient in zip(masks, torch.autograd.grad(loss, masks), strict=True):
        mask.grad = gradient
    optimizer.step()
    with torch.no_grad():
        for mask in masks:
            mask.clamp_(0, 1)


def accuracy(predict: Callable[[Tensor], Tensor], data: LabelledImages) -> float:
    """The share of ``data`` that ``predict``, images to logits, classifies as labelled."""
    return float((logits_of(predict, data.floats).argmax(1) == data.labels).float().mean())


@dataclass(frozen=True)
class Cut:
    """What masks led to: channels with a mask below ``threshold`` are pruned, ``pruned`` of ``channels``."""

    threshold: float
    pruned: int
    channels: int
    accuracy: float  # on the reference images


@torch.no_grad()
def prune_below(
    model: nn.Module, layers: dict[str, Norm], masks: Channels, data: LabelledImages, *, bound: float, step: float
) -> Cut:
    """Set the gains of channels whose mask (in [0, 1]) lies below a threshold to zero, in place.

    The threshold rises by ``step`` as long as the accuracy on ``data`` stays above 1 - ``bound`` of what it was; the
    last one that did counts.
    """
    channels = sum(map(len, masks))
    first = accuracy(rescaled(model, layers, [torch.ones_like(mask) for mask in masks]), data)
    best = Cut(0.0, 0, channels, first)
    for number in range(1, round(1 / step) + 1):
        threshold = number * step
        keep = [(mask >= threshold).to(mask.dtype) for mask in masks]
        pruned = channels - int(sum(kept.sum() for kept in keep))
        if pruned == channels:
            break
        if pruned > best.pruned:
            now = accuracy(rescaled(model, layers, keep), data)
            if now < (1 - bound) * first:
                break
            best = Cut(threshold, pruned, channels, now)
    for layer, mask in zip(layers.values(), masks, strict=True):
        layer.weight[mask < best.threshold] = 0
    return best


@torch.no_grad()
def remove(layer: Norm, pruned: Tensor) -> None:
    """Silence the channels of the mask ``pruned`` (K,), in place: gain and offset become zero."""
    layer.weight[pruned] = 0
    if layer.bias is not None:
        layer.bias[pruned] = 0
