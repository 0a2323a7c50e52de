"""L0 invisible trigger: the number of pixels."""

import pytest
from attack_helpers import with_learned

from bench.attacks.l0inv import L0Inv


@pytest.mark.parametrize("steps", [1, 5, 60])
def test_the_pattern_changes_few_pixels_within_its_strength(steps, images, surrogate_context):
    attack = L0Inv(pixels=7, strength=0.4, steps=steps)
    pattern = with_learned(attack, images, surrogate_context).learned["pattern"]
    assert 1 <= int((pattern != 0).any(0).sum()) <= 7
    assert float(pattern.abs().max()) <= 0.4 + 1e-6
