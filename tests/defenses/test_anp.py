"""ANP: the adversarial perturbation of the channels."""

import pytest
import torch
from planted import FOUR_CLASSES, context, normalised_victim

from bench.defenses.anp import ANP, worst_noise
from bench.plugin import Known


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


def test_without_clamping_the_noise_reaches_beyond_epsilon_but_not_beyond_twice_it() -> None:
    slopes = torch.linspace(-1, 1, 200)
    gains, _ = worst_noise(
        lambda gains, offsets: (gains[0] * slopes + offsets[0]).sum(),
        [torch.ones(200)],
        0.4,
        torch.Generator().manual_seed(0),
        clamp=False,
    )
    start = gains[0] - 0.4 * slopes.sign()
    assert 0.6 < gains[0].abs().max().item() <= 0.8
    assert start.abs().max().item() <= 0.4 + 1e-6


def test_steps_do_not_depend_on_the_number_of_images_and_epochs_do(monkeypatch: pytest.MonkeyPatch) -> None:
    counts = []
    monkeypatch.setattr(
        ANP, "_loss", lambda self, model, layers, masks, images, *rest: counts.append(len(images)) or masks[0].sum()
    )
    for parameters, images in (({"epochs": 3}, 40), ({"epochs": 3}, 80), ({"steps": 7}, 40), ({"steps": 7}, 80)):
        counts.append(0)
        ANP(batch_size=20, bound=0, **parameters).repair(
            normalised_victim(), Known(FOUR_CLASSES.draw(images, 1)), context()
        )
    runs = [len(run) for run in split_at_zero(counts)]
    assert runs == [6, 12, 7, 7]


def split_at_zero(counts: list[int]) -> list[list[int]]:
    runs: list[list[int]] = []
    for count in counts:
        runs.append([]) if count == 0 else runs[-1].append(count)
    return runs


def test_the_perturbation_of_a_step_is_clamped_unless_that_is_switched_off(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def record(*arguments: object, clamp: bool = True) -> object:
        seen.append(clamp)
        return worst_noise(*arguments, clamp=clamp)

    monkeypatch.setattr("bench.defenses.anp.worst_noise", record)
    for clamp in (True, False):
        ANP(clamp=clamp, steps=1).repair(normalised_victim(), Known(FOUR_CLASSES.draw(40, 1)), context())
    assert seen == [True, False]
