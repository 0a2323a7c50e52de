"""A guard whose answers are timed, now and then beside those of the bare network."""

import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from bench.cell.meter import Meter
from bench.plugin.defense import Guard
from bench.plugin.values import Prediction


class MeteredGuard:
    """A guard that notes what its answers have cost: ``seconds``, and ``peak_mb``, their peak memory in MiB.

    The time in which inputs are prepared and answers are kept is not the guard's, and does not count. ``bare``: the
    network without a defense, to compare with.
    """

    def __init__(self, guard: Guard, device: torch.device, bare: Guard | None = None) -> None:
        self._guard, self._device, self._bare = guard, device, bare
        self.seconds = self.peak_mb = 0.0
        self._added: list[float] = []  # milliseconds an image, of each comparison

    def __call__(self, images: Tensor) -> Prediction:
        with _no_trials(), Meter(self._device) as meter:
            prediction = self._guard(images)
        self.seconds += meter.seconds
        self.peak_mb = max(self.peak_mb, meter.peak_mb)
        return prediction

    def compared(self, images: Tensor) -> Prediction:
        """The guard's answer, with the bare network timed on the same images just before or just after it, in turns."""
        if self._bare is None:
            return self(images)
        if not self._added:
            self._bare_seconds(images)  # what only the first time costs
        bare_first, before = len(self._added) % 2 == 0, self.seconds
        bare = self._bare_seconds(images) if bare_first else 0.0
        prediction = self(images)
        added = self.seconds - before - (bare if bare_first else self._bare_seconds(images))
        self._added.append(1000 * added / len(images))
        return prediction

    @property
    def ms_added(self) -> float:
        """The milliseconds that the guard adds to an image: the median of the comparisons. NaN without any."""
        return float(torch.tensor(self._added).quantile(0.5)) if self._added else math.nan

    @property
    def ms_added_spread(self) -> float:
        """The interquartile range of the comparisons, in milliseconds an image; NaN of fewer than two.

        What is below it drowns: it is how far single comparisons vary, which is more than their median does.
        """
        if len(self._added) < 2:
            return math.nan
        low, high = torch.tensor(self._added).quantile(torch.tensor([0.25, 0.75])).tolist()
        return float(high - low)

    def _bare_seconds(self, images: Tensor) -> float:
        assert self._bare is not None
        with _no_trials(), Meter(self._device) as meter:
            self._bare(images)
        return meter.seconds


@contextmanager
def _no_trials() -> Iterator[None]:
    """While open, cuDNN takes the convolutions that its rules name, in place of trying all of them on the GPU.

    It tries for every size of batch anew. That pays in training, not for a guard that asks a network about those of its
    images that it suspects: nearly each batch has another number of them.
    """
    before = torch.backends.cudnn.benchmark
    torch.backends.cudnn.benchmark = False
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark = before
