"""The network of a victim made elsewhere, built anew: its architecture behind its own preprocessing."""

from dataclasses import dataclass, replace

from torch import nn

from bench.checkpoint.preprocessed import Preprocessed
from bench.checkpoint.preprocessing import Order
from bench.plugin.model import Model
from bench.plugin.values import ImageSpec


@dataclass(frozen=True)
class Applied:
    """What is done to images in [0, 1] before the architecture: channels in ``order``, then (image - mean) / std."""

    mean: tuple[float, ...]
    std: tuple[float, ...]
    order: Order = "rgb"


def built(model: Model, spec: ImageSpec, applied: Applied | None) -> nn.Module:
    """An untrained network of ``model`` for images of ``spec``; behind ``applied``, if it was made elsewhere."""
    if applied is None:
        return model.build(spec)
    plain = replace(spec, mean=(0.0,) * spec.channels, std=(1.0,) * spec.channels)
    return Preprocessed(model.build(plain), applied.mean, applied.std, applied.order)
