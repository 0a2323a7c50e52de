"""How a ``Runtime`` defense runs: its guard answers in place of the network."""

from typing import cast

from bench.cell.declared import declared
from bench.cell.reference import DefenseInputs
from bench.plugin.defense import Guard
from bench.plugin.runtime import Runtime
from bench.plugin.values import a_kind
from bench.toolbox.precision import expect_finite


def guard(defense: Runtime, inputs: DefenseInputs) -> Guard:
    """The defense's guard. Raises ValueError, with the tensor's name, where a number of the victim is not finite, and
    TypeError for a guard that cannot be called.
    """
    expect_finite(inputs.model, whose="the victim's ")
    made: object = defense.guard(inputs.model, declared(inputs.known, defense), inputs.context)
    if not callable(made):
        expected = "a function from images to a Prediction, such as lambda images: Prediction(model(images))"
        raise TypeError(f"guard gave {a_kind(made)}, expected {expected}")
    return cast(Guard, made)
