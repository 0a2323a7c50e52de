"""How a ``Repair`` defense runs: the network that it returns is the defended network."""

from torch import nn

from bench.cell.reference import DefenseInputs
from bench.plugin.defense import Guard
from bench.plugin.repair import Repair
from bench.plugin.values import Prediction
from bench.toolbox.precision import expect_finite


def guard(defense: Repair, inputs: DefenseInputs) -> Guard:
    """The repaired network as a guard. Raises ValueError, with the tensor's name, where a number is not finite."""
    expect_finite(inputs.model, whose="the victim's ")
    repaired = defense.repair(inputs.model, inputs.known, inputs.context)
    if not isinstance(repaired, nn.Module):
        raise TypeError(f"repair gave a {type(repaired).__name__}, expected an nn.Module")
    repaired.eval()
    expect_finite(repaired)
    return lambda images: Prediction(repaired(images))
