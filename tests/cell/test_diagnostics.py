"""What only the harness can tell: how well a shift of the latent agrees with the true one."""

import pytest
import torch
from four_pixels import TARGET, Victim, draw, triggered

from bench.cell.backdoors import TriggeredSet
from bench.cell.diagnostics import shift_agreement
from bench.plugin.attack import as_bytes


def test_a_shift_is_compared_with_the_change_that_the_trigger_causes():
    test = draw(60, 2)
    images = TriggeredSet(test, as_bytes(triggered(test.floats)), torch.full_like(test.labels, TARGET))
    shifts = {str(TARGET): [0.0, 0.0, 0.0, 3.0], "0": [1.0, 0.0, 0.0, 0.0]}
    agreement = shift_agreement(shifts, Victim().eval(), images)
    assert list(agreement) == [str(TARGET)]
    assert agreement[str(TARGET)] == pytest.approx({"cosine": 1.0, "correlation": 1.0, "length": 3.0}, abs=1e-5)
    slanted = shift_agreement({str(TARGET): [1.0, 0, 0, 1.0]}, Victim().eval(), images)
    assert slanted[str(TARGET)]["cosine"] == pytest.approx(0.5**0.5, abs=1e-5)
    assert slanted[str(TARGET)]["correlation"] == pytest.approx(1 / 3**0.5, abs=1e-5)
