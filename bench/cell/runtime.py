"""How a ``Runtime`` defense runs: its guard answers in place of the network."""

from bench.cell.reference import DefenseInputs
from bench.plugin.defense import Guard
from bench.plugin.runtime import Runtime


def guard(defense: Runtime, inputs: DefenseInputs) -> Guard:
    return defense.guard(inputs.model, inputs.known, inputs.context)
