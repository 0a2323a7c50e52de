"""SIBA: the number of pixels and their change."""

import pytest
from attack_helpers import with_learned

from bench.attacks.siba import SIBA


@pytest.mark.parametrize("steps", [1, 5, 60])
def test_the_pattern_changes_few_pixels_by_at_most_eps(steps, images, surrogate_context):
    pattern = with_learned(SIBA(pixels=9, eps=0.05, steps=steps), images, surrogate_context).learned["pattern"]
    assert 1 <= int((pattern != 0).any(0).sum()) <= 9
    assert float(pattern.abs().max()) <= 0.05 + 1e-6
