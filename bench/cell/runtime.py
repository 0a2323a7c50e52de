"""How a ``Runtime`` defense runs: its guard answers in place of the network."""

from bench.cell.reference import DefenseInputs
from bench.plugin.defense import Guard
from bench.plugin.runtime import Runtime
from bench.toolbox.precision import expect_finite


def guard(defense: Runtime, inputs: DefenseInputs) -> Guard:
    """The defense's guard. Raises ValueError, with the tensor's name, where a number of the victim is not finite."""
    expect_finite(inputs.model, whose="the victim's ")
    return defense.guard(inputs.model, inputs.known, inputs.context)
