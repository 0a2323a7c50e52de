"""ANP: the adversarial perturbation of the channels."""

import torch

from bench.defenses.anp import worst_noise


def test_the_noise_raises_the_loss_and_stays_within_epsilon() -> None:
    slopes = torch.tensor([1.0, -2, 0.5])
    gains, offsets = worst_noise(
        lambda gains, offsets: (gains[0] * slopes - offsets[0] * slopes).sum(),
        [torch.ones(3)],
        0.4,
        torch.Generator().manual_seed(0),
    )
    assert bool((gains[0].sign() == slopes.sign()).all())
    assert bool((offsets[0].sign() == -slopes.sign()).all())
    assert max(gains[0].abs().max().item(), offsets[0].abs().max().item()) <= 0.4 + 1e-6
