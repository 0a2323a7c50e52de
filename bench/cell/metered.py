"""A guard whose answers are timed."""

import torch
from torch import Tensor

from bench.cell.meter import Meter
from bench.plugin.defense import Guard
from bench.plugin.values import Prediction


class MeteredGuard:
    """A guard that notes what its answers have cost: ``seconds``, and ``peak_mb``, their peak memory in MiB.

    The time in which inputs are prepared and answers are kept is not the guard's, and does not count.
    """

    def __init__(self, guard: Guard, device: torch.device) -> None:
        self._guard, self._device = guard, device
        self.seconds = self.peak_mb = 0.0

    def __call__(self, images: Tensor) -> Prediction:
        with Meter(self._device) as meter:
            prediction = self._guard(images)
        self.seconds += meter.seconds
        self.peak_mb = max(self.peak_mb, meter.peak_mb)
        return prediction
