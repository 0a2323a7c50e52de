"""A network that answers by itself, without a defense around it."""

from collections.abc import Mapping
from typing import Any

from torch import nn

from bench.plugin.defense import Guard
from bench.plugin.values import Prediction, a_kind
from bench.toolbox.inference import Answers, Precision


def network_guard(network: nn.Module, precision: Precision) -> Guard:
    """``network``, in eval mode, as a guard: the bare victim, or what a repair or an oracle returned."""
    answers = Answers(network, precision)
    return lambda images: Prediction(answers(images))


def expect_network(given: Any, method: str) -> None:
    """Raise TypeError, which names the plugin's ``method``, unless what it gave is a network."""
    if not isinstance(given, nn.Module):
        hint = "; load weights with model.load_state_dict(weights) and return model" * isinstance(given, Mapping)
        raise TypeError(f"{method} gave {a_kind(given)}, expected an nn.Module{hint}")
