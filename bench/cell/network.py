"""A network that answers by itself, without a defense around it."""

from torch import nn

from bench.plugin.defense import Guard
from bench.plugin.values import Prediction
from bench.toolbox.inference import Answers, Precision


def network_guard(network: nn.Module, precision: Precision) -> Guard:
    """``network``, in eval mode, as a guard: the bare victim, or what a repair or an oracle returned."""
    answers = Answers(network, precision)
    return lambda images: Prediction(answers(images))
