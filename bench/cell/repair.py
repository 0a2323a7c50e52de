"""How a ``Repair`` defense runs: the network that it returns is the defended network."""

from bench.cell.reference import DefenseInputs
from bench.plugin.defense import Guard
from bench.plugin.repair import Repair
from bench.plugin.values import Prediction


def guard(defense: Repair, inputs: DefenseInputs) -> Guard:
    repaired = defense.repair(inputs.model, inputs.known, inputs.context).eval()
    return lambda images: Prediction(repaired(images))
