"""A defense at work: it repairs or builds its guard from what its threat model allows, and then answers inputs."""

from copy import deepcopy
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor

from bench.cell import oracle, repair, runtime
from bench.cell.meter import Meter
from bench.cell.metered import MeteredGuard
from bench.cell.network import NetworkGuard, network_guard
from bench.cell.reference import DefenseInputs
from bench.plugin.defense import Defense, Guard
from bench.plugin.oracle import Oracle
from bench.plugin.repair import Repair
from bench.plugin.runtime import Runtime
from bench.plugin.values import Prediction
from bench.records import notes

_KINDS: dict[type[Defense], Any] = {Repair: repair, Runtime: runtime, Oracle: oracle}  # and the module that runs each


@dataclass(frozen=True)
class Report:
    """What a defense has cost and noted: seconds until it was ready, seconds of its answers, peak memory in MiB.

    ms_added, ms_added_spread: what it adds to the milliseconds of an image, and how far that varies (``MeteredGuard``).
    """

    defending: float
    answering: float
    peak_mb: float
    ms_added: float
    ms_added_spread: float
    diagnostics: dict[str, Any]


class Defender(Protocol):
    """A defense that is ready to answer, in this process or in one of its own."""

    learns_from_stream: bool
    detects_only: bool
    changes_nothing: bool  # the victim's predictions are its own
    fingerprint: str  # of the defense's code

    def __call__(self, images: Tensor) -> Prediction:
        """The defense's prediction for images (B, C, H, W) in [0, 1]. Raises whatever the defense raises."""

    def compared(self, images: Tensor) -> Prediction:
        """The same, with the bare network timed beside it."""

    def report(self) -> Report:
        """What it has cost and noted so far. Raises TypeError or ValueError for a note that no record can hold."""

    def repaired(self) -> dict[str, Tensor] | None:
        """The tensors of the network that a repair has returned, by name; None of another kind of defense."""


class DefenderHere:
    """A defense in this process. Making it runs the defense, and raises whatever the defense raises."""

    def __init__(self, defense: Defense, inputs: DefenseInputs, fingerprint: str) -> None:
        self.learns_from_stream = isinstance(defense, Runtime) and bool(defense.learns_from_stream)
        self.detects_only = isinstance(defense, Runtime) and bool(defense.detects_only)
        self.changes_nothing = isinstance(defense, Repair) and bool(defense.changes_nothing)
        self.fingerprint = fingerprint
        self._name = f"defense {defense.name!r}"
        self._context = inputs.context
        bare = deepcopy(inputs.model)  # before the defense changes it
        with Meter(self._context.device) as self._defending:
            guard = _guard(defense, inputs)
        self._network = guard.network if isinstance(defense, Repair) and isinstance(guard, NetworkGuard) else None
        self._answering = MeteredGuard(guard, self._context.device, network_guard(bare, inputs.precision))

    def __call__(self, images: Tensor) -> Prediction:
        return self._answering(images)

    def compared(self, images: Tensor) -> Prediction:
        return self._answering.compared(images)

    def report(self) -> Report:
        defending, answering = self._defending, self._answering
        peak_mb = max(defending.peak_mb, answering.peak_mb)
        noted = notes.of_plugin(self._context.diagnostics, self._name)
        added = answering.ms_added, answering.ms_added_spread
        return Report(defending.seconds, answering.seconds, peak_mb, *added, noted)

    def repaired(self) -> dict[str, Tensor] | None:
        if self._network is None:
            return None
        return {name: value for name, value in self._network.state_dict().items() if isinstance(value, Tensor)}


def _guard(defense: Defense, inputs: DefenseInputs) -> Guard:
    for kind, module in _KINDS.items():
        if isinstance(defense, kind):
            guard: Guard = module.guard(defense, inputs)
            return guard
    raise TypeError(f"{defense.name}: expected one of {', '.join(kind.__name__ for kind in _KINDS)}")
