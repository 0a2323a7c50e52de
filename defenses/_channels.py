"""Channels of a network: masks over them, and pruning.

A channel is masked by multiplying the gain of its normalisation layer, as ANP (Wu and Wang, NeurIPS 2021) does.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from bench.plugin import Context, LabelledImages, batches, steps_per_epoch
from bench.toolbox.networks import batch_norms, channels_last
from bench.toolbox.precision import expect_finite
from bench.toolbox.training import autocast, logits_of

Norm = nn.BatchNorm2d  # stands for every normalisation layer with a gain and an offset (K,)
Channels = list[Tensor]  # a value (K,) for each channel of each layer
NO_GAINS = "the network has no normalisation layer whose gains to mask"  # why a defense by masks declines a network


def scaled_layers(model: nn.Module) -> dict[str, Norm]:
    """The layers by name whose gains stand for channels.

    These are the batch normalisations, or in a network without any, its layer and group normalisations. Layers without
    gains are left out.
    """
    layers = batch_norms(model) or {
        name: module for name, module in model.named_modules() if isinstance(module, nn.LayerNorm | nn.GroupNorm)
    }
    return {name: cast(Norm, layer) for name, layer in layers.items() if layer.weight is not None}


def rescaled(
    model: nn.Module, layers: dict[str, Norm], gains: Channels, offsets: Channels | None = None
) -> Callable[[Tensor], Tensor]:
    """``model`` with the gain of every channel of ``layers`` multiplied by ``gains``, its offset by ``offsets``.

    The answer maps images (N, C, H, W) in [0, 1] to float32 logits (N, classes), with gradients to ``gains`` and
    ``offsets``. ``model`` stays as it is: in training mode batch normalisation takes the statistics of the batch, and
    the running ones are not updated.
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
            out: Tensor = torch.func.functional_call(model, changed, channels_last(images))
        return out.float()

    return logits


def trained_masks(
    model: nn.Module,
    data: LabelledImages,
    context: Context,
    loss: Callable[[dict[str, Norm], Channels, Tensor, Tensor], Tensor],
    *,
    epochs: int,
    learning_rate: float,
    batch_size: int,
    steps: int | None = None,
    vary: Callable[[Tensor], Tensor] = lambda images: images,
) -> Channels:
    """Masks over the channels of ``scaled_layers(model)`` that minimise ``loss`` on ``data``: values (K,) in [0, 1].

    ``loss(layers, masks, images, labels)`` is a scalar for a batch. The masks start at 1 and are trained by SGD with
    momentum 0.9; ``model`` runs in training mode meanwhile, keeps its weights, and is left in eval mode. With ``steps``
    there are so many, each on a batch drawn with replacement, whatever ``epochs`` says. ``vary``: augments a batch.
    """
    layers = scaled_layers(model)
    model.train()
    masks = [torch.ones_like(layer.weight, requires_grad=True) for layer in layers.values()]
    optimizer = torch.optim.SGD(masks, lr=learning_rate, momentum=0.9)
    per_round = max(1, steps_per_epoch(len(data), batch_size))
    rounds = epochs if steps is None else -(-steps // per_round)
    for number in range(rounds):
        if steps is None:
            drawn = batches(len(data), batch_size, context.generator, context.device)
        else:
            drawn = _with_replacement(len(data), batch_size, min(per_round, steps - number * per_round), context)
        for index in drawn:
            _step(optimizer, masks, loss(layers, masks, vary(data.at(index).floats), data.labels[index]))
        named = {f"the mask of {name}": mask for name, mask in zip(layers, masks, strict=True)}
        expect_finite(named, when=f" after epoch {number + 1} of {rounds}")
        context.progress((number + 1) / rounds)
    model.eval()
    return [mask.detach() for mask in masks]


def _with_replacement(count: int, size: int, steps: int, context: Context) -> Iterator[Tensor]:
    """``steps`` batches: indices (``size``,) of ``count`` images, each drawn from all of them."""
    for _ in range(steps):
        yield torch.randint(count, (size,), generator=context.generator, device=context.device)


def _step(optimizer: torch.optim.Optimizer, masks: Channels, loss: Tensor) -> None:
    """One step of ``optimizer`` on ``masks``, which stay in [0, 1]; the network itself gets no gradient."""
    for mask, gradient in zip(masks, torch.autograd.grad(loss, masks), strict=True):
        mask.grad = gradient
    optimizer.step()
    with torch.no_grad():
        for mask in masks:
            mask.clamp_(0, 1)


def accuracy(predict: Callable[[Tensor], Tensor], data: LabelledImages) -> float:
    """The share of ``data``, in [0, 1], that ``predict``, images to logits, classifies as labelled.

    Raises ValueError for logits that are not finite.
    """
    logits = logits_of(predict, data.floats)
    expect_finite({"the logits of the reference images": logits})
    return float((logits.argmax(1) == data.labels).float().mean())


@dataclass(frozen=True)
class Pruned:
    """What pruning by masks did: ``pruned`` of ``channels`` channels had a mask below ``threshold``."""

    threshold: float
    pruned: int
    channels: int
    accuracy: float  # on the reference images, after pruning

    @property
    def figures(self) -> dict[str, Any]:
        """What is kept in the record."""
        return {"channels": self.pruned, "of": self.channels, "threshold": self.threshold}


@torch.no_grad()
def prune_below(
    model: nn.Module, layers: dict[str, Norm], masks: Channels, data: LabelledImages, *, bound: float, step: float
) -> Pruned:
    """Set the gains of channels whose mask (in [0, 1]) lies below a threshold to zero, in place.

    The threshold rises by ``step`` as long as the accuracy on ``data`` is at least 1 - ``bound`` of what it was; the
    last one for which it is counts. A threshold that would prune all channels is not tried.
    """
    channels = sum(map(len, masks))
    before = accuracy(rescaled(model, layers, [torch.ones_like(mask) for mask in masks]), data)
    best = Pruned(0.0, 0, channels, before)
    for number in range(1, round(1 / step) + 1):
        threshold = number * step
        remaining = [(mask >= threshold).to(mask.dtype) for mask in masks]
        pruned = channels - int(sum(mask.sum() for mask in remaining))
        if pruned == channels:
            break
        if pruned > best.pruned:
            now = accuracy(rescaled(model, layers, remaining), data)
            if now < (1 - bound) * before:
                break
            best = Pruned(threshold, pruned, channels, now)
    for layer, mask in zip(layers.values(), masks, strict=True):
        layer.weight[mask < best.threshold] = 0
    return best


@torch.no_grad()
def silence_outliers(layers: dict[str, Norm], scores: dict[str, Tensor], u: float) -> dict[str, Any]:
    """Silence, in place, the channels whose score lies above mean + ``u`` standard deviations of their layer's.

    ``scores`` (K,) go by the name of a layer; a silenced channel has gain and offset zero. Returns what is kept in the
    record: how many ``channels`` were silenced ``of`` those scored, and their numbers ``by_layer``. Raises ValueError,
    with the layer's name, for scores that are not finite.
    """
    expect_finite({f"the score of {name}": score for name, score in scores.items()})
    silenced = {}
    for name, score in scores.items():
        outliers = score > score.mean() + u * score.std()
        layers[name].weight[outliers] = 0
        if layers[name].bias is not None:
            layers[name].bias[outliers] = 0
        silenced[name] = outliers.nonzero()[:, 0].tolist()
    return {"channels": sum(map(len, silenced.values())), "of": sum(map(len, scores.values())), "by_layer": silenced}
