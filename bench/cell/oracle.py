"""How an ``Oracle`` runs: it also sees the secret, and the network that it returns is the column to compare with."""

from bench.cell.declared import declared
from bench.cell.network import expect_network, network_guard
from bench.cell.reference import DefenseInputs
from bench.plugin.defense import Guard
from bench.plugin.oracle import Oracle
from bench.toolbox.precision import expect_finite


def guard(defense: Oracle, inputs: DefenseInputs) -> Guard:
    """The revealed network as a guard. Raises ValueError, with the tensor's name, where a number is not finite."""
    expect_finite(inputs.model, whose="the victim's ")
    network = defense.reveal(inputs.model, declared(inputs.known, defense), inputs.secret(), inputs.context)
    expect_network(network, "reveal")
    network.eval()
    expect_finite(network)
    return network_guard(network, inputs.precision)
