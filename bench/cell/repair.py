"""How a ``Repair`` defense runs: the network that it returns is the defended network."""

from collections.abc import Mapping
from copy import deepcopy

import torch
from torch import Tensor, nn

from bench.cell.declared import declared
from bench.cell.network import NetworkGuard, expect_network, network_guard
from bench.cell.reference import DefenseInputs
from bench.plugin.repair import Repair
from bench.toolbox.precision import expect_finite


def guard(defense: Repair, inputs: DefenseInputs) -> NetworkGuard:
    """The repaired network as a guard. Raises ValueError, with the tensor's name, where a number is not finite."""
    expect_finite(inputs.model, whose="the victim's ")
    before = deepcopy(inputs.model.state_dict()) if defense.changes_nothing else None
    repaired = defense.repair(inputs.model, declared(inputs.known, defense), inputs.context)
    expect_network(repaired, "repair")
    repaired.eval()
    expect_finite(repaired)
    if before is not None:
        _expect_unchanged(before, repaired, repaired is inputs.model)
    return network_guard(repaired, inputs.precision)


def _expect_unchanged(before: Mapping[str, Tensor], repaired: nn.Module, same: bool) -> None:
    """Raises ValueError unless the network is the one that was given, with the weights ``before``."""
    declared = "expected the victim's as it is: the defense declares changes_nothing"
    if not same:
        raise ValueError(f"repair gave another network, {declared}")
    changed = [
        name
        for name, value in repaired.state_dict().items()
        if name not in before or not torch.equal(value, before[name])
    ]
    if changed:
        raise ValueError(f"repair changed {changed[0]}, {declared}")
