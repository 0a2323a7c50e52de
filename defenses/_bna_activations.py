"""What alignment changes, for a picture: activations of the channels that a trigger alters most, before and after.

Li, Xiang, Miller, Kesidis (BNA), arXiv 2308.09850, show such distributions as what motivates the method.
"""

from typing import Any

import torch
from torch import Tensor, nn

from bench.defenses._bna_alignment import AlignedNorm, divergence, per_channel, soft_histogram
from bench.toolbox.networks import batch_norms, channels_last, watching

_IMAGES = 200  # more would not change the picture
_BINS = 60
_SHARP = 1e4  # of the edges of the bins: these are counts, not what is optimised


@torch.no_grad()
def altered_channels(model: nn.Module, aligned: nn.Module, clean: Tensor, triggered: Tensor) -> list[dict[str, Any]]:
    """The channel that the trigger alters most in all of ``model``, and that of its last layer, as notes have them.

    clean, triggered: images (N, C, H, W) in [0, 1], the same ones without and with the trigger. Activations are in
    standard deviations of the channel. Alteration is the total variation between the two before the alignment.
    """
    clean, triggered = clean[:_IMAGES], triggered[:_IMAGES]
    layers: dict[str, AlignedNorm] = {
        name: layer for name, layer in aligned.named_modules() if isinstance(layer, AlignedNorm)
    }
    norms = {name: layer for name, layer in batch_norms(model).items() if name in layers}
    before, after = _inputs(model, norms, clean), _inputs(model, norms, triggered)
    altered = {name: _alteration(layers[name], before[name], after[name]) for name in norms}
    if not altered:
        return []
    last = list(altered)[-1]
    names = dict.fromkeys((max(altered, key=lambda name: float(altered[name].max())), last))
    repaired = _inputs(aligned, layers, triggered)
    return [_noted(name, layers[name], altered[name], before[name], after[name], repaired[name]) for name in names]


def _inputs(network: nn.Module, modules: Any, images: Tensor) -> dict[str, Tensor]:
    """What enters each of ``modules``, by name."""
    seen: dict[nn.Module, Tensor] = {}
    with watching(modules.values(), seen.__setitem__, inputs=True):
        network(channels_last(images))
    return {name: seen[module].float() for name, module in modules.items()}


def _alteration(layer: AlignedNorm, clean: Tensor, triggered: Tensor) -> Tensor:
    """The total variation (K,) between the channels of two sets of activations (N, K, ...)."""
    first, second = _scaled(layer, clean), _scaled(layer, triggered)
    low, width = float(first.min()), max(float(first.max() - first.min()) / _BINS, 1e-6)
    histograms = [soft_histogram(values, low, _BINS, width, _SHARP / width) for values in (first, second)]
    return divergence(histograms[0], histograms[1], "tv")


def _scaled(layer: AlignedNorm, activations: Tensor) -> Tensor:
    """Activations (N, K, ...) before the alignment, in standard deviations of their channel, as (K, M)."""
    return (per_channel(activations) - layer.mean[:, None]) / layer.std[:, None]


def _noted(
    name: str, layer: AlignedNorm, altered: Tensor, clean: Tensor, triggered: Tensor, repaired: Tensor
) -> dict[str, Any]:
    """The histograms of the most altered channel of a layer; those outside of the range count at its ends."""
    channel = int(altered.argmax())
    kinds = {
        "clean": _scaled(layer, clean)[channel],
        "triggered": _scaled(layer, triggered)[channel],
        "aligned": per_channel(layer.normalised(repaired))[channel],
    }
    low, high = min(float(of.min()) for of in kinds.values()), max(float(of.max()) for of in kinds.values())
    width = max((high - low) / _BINS, 1e-6)
    noted: dict[str, Any] = {"layer": name, "channel": channel, "low": low, "width": width}
    for kind, values in kinds.items():
        places = ((values - low) / width).long().clamp(0, _BINS - 1)
        counts = torch.bincount(places, minlength=_BINS)
        noted[kind] = [round(count / len(values), 6) for count in counts.tolist()]
    return noted
