"""A network that answers by itself, without a defense around it."""

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn

from bench.plugin.values import ImageSpec, Prediction, a_kind
from bench.toolbox.inference import Answers, Precision


class NetworkGuard:
    """``network``, in eval mode, as a guard."""

    def __init__(self, network: nn.Module, precision: Precision) -> None:
        self.network = network
        self._answers = Answers(network, precision)

    def __call__(self, images: Tensor) -> Prediction:
        return Prediction(self._answers(images))


def network_guard(network: nn.Module, precision: Precision) -> NetworkGuard:
    """``network``, in eval mode, as a guard: the bare victim, or what a repair or an oracle returned."""
    return NetworkGuard(network, precision)


def expect_network(given: Any, method: str) -> None:
    """Raise TypeError, which names the plugin's ``method``, unless what it gave is a network."""
    if not isinstance(given, nn.Module):
        hint = "; load weights with model.load_state_dict(weights) and return model" * isinstance(given, Mapping)
        raise TypeError(f"{method} gave {a_kind(given)}, expected an nn.Module{hint}")


def expect_logits(network: nn.Module, spec: ImageSpec) -> None:
    """Raise ValueError unless a network that a model has built gives logits for images of ``spec``.

    A copy of it is asked about a black image.
    """
    with torch.no_grad():
        given = deepcopy(network).eval()(torch.zeros(1, *spec.shape))
    shape = tuple(given.shape) if isinstance(given, torch.Tensor) else a_kind(given)
    if shape != (1, spec.classes):
        raise ValueError(f"build gave a network that answers {shape} to one image, expected (1, {spec.classes})")
