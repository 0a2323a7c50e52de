"""A network that answers by itself, without a defense around it."""

from torch import Tensor, nn

from bench.plugin.values import Prediction
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
