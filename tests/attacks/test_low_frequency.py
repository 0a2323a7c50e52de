"""Low-frequency attack: the spectrum and the strength of the pattern."""

import numpy as np
import pytest
import torch
from attack_helpers import with_learned
from scipy.fft import dct, dctn

from bench.attacks.low_frequency import LowFrequency, cosines


def test_the_pattern_has_no_high_frequency_and_stays_within_its_strength(images, surrogate_context):
    attack = LowFrequency(cutoff=0.25, strength=0.06, steps=20)
    pattern = with_learned(attack, images, surrogate_context).learned["pattern"].double().numpy()
    energy = np.square(dctn(pattern, axes=(1, 2), norm="ortho"))
    assert energy[:, :4, :4].sum() > (1 - 1e-9) * energy.sum()
    assert np.abs(pattern).max() == pytest.approx(0.06, rel=0.05)
    assert np.abs(pattern).max() <= 0.06 + 1e-6


def test_cosines_are_the_orthonormal_cosine_transform():
    expected = dct(np.eye(16), axis=0, norm="ortho")[:5]
    np.testing.assert_allclose(cosines(16, 5, torch.device("cpu")).numpy(), expected, atol=1e-6)
