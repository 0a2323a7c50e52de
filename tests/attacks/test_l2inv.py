"""L2 invisible trigger: the norm of the pattern."""

import pytest
from attack_helpers import with_learned

from bench.attacks.l2inv import L2Inv


def test_the_pattern_uses_its_norm_and_does_not_exceed_it(images, surrogate_context):
    pattern = with_learned(L2Inv(norm=0.7, steps=20), images, surrogate_context).learned["pattern"]
    assert float(pattern.square().sum().sqrt()) == pytest.approx(0.7, rel=0.05)
    assert float(pattern.square().sum().sqrt()) <= 0.7 + 1e-5
