"""How an ``Oracle`` runs: it also sees the secret, and the network that it returns is the column to compare with."""

from torch import nn

from bench.cell.network import network_guard
from bench.cell.reference import DefenseInputs
from bench.plugin.defense import Guard
from bench.plugin.oracle import Oracle
from bench.toolbox.precision import expect_finite


def guard(defense: Oracle, inputs: DefenseInputs) -> Guard:
    """The revealed network as a guard. Raises ValueError, with the tensor's name, where a number is not finite."""
    expect_finite(inputs.model, whose="the victim's ")
    network = defense.reveal(inputs.model, inputs.known, inputs.secret(), inputs.context)
    if not isinstance(network, nn.Module):
        raise TypeError(f"reveal gave a {type(network).__name__}, expected an nn.Module")
    network.eval()
    expect_finite(network)
    return network_guard(network, inputs.precision)
