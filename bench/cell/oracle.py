"""How an ``Oracle`` runs: it also sees the secret, and the network that it returns is the column to compare with."""

from bench.cell.reference import DefenseInputs
from bench.plugin.defense import Guard
from bench.plugin.oracle import Oracle
from bench.plugin.values import Prediction


def guard(defense: Oracle, inputs: DefenseInputs) -> Guard:
    network = defense.reveal(inputs.model, inputs.known, inputs.secret(), inputs.context).eval()
    return lambda images: Prediction(network(images))
