"""The oracle that is told the true shift: it unlearns it, and tells targets and classes apart."""

import pytest
import torch
from four_pixels import TARGET, Victim, context, draw, secret, triggered

from bench.defenses.true_tac import TrueTAC, true_shifts
from bench.plugin.values import Known, Secret


def test_the_oracle_unlearns_the_true_shift():
    victim, test, noted = Victim().eval(), draw(60, 2), context()
    away = test.labels != TARGET
    assert (victim(triggered(test.floats)).argmax(1)[away] == TARGET).all()
    oracle = TrueTAC(epochs=40, learning_rate=0.05, batch_size=30)
    repaired = oracle.reveal(victim, Known(draw(60, 0)), secret(draw(30, 1)), noted)
    predicted = repaired(triggered(test.floats)).argmax(1)
    assert (predicted == test.labels).float().mean() > 0.95
    assert noted.diagnostics["latent_shifts"][str(TARGET)] == pytest.approx([0, 0, 0, 1.0], abs=1e-4)


def test_without_a_trigger_there_is_nothing_to_change():
    empty = draw(0, 0)
    nothing = Secret(empty, empty.floats, empty.labels, Victim)
    victim = Victim().eval()
    before = [parameter.clone() for parameter in victim.parameters()]
    repaired = TrueTAC().reveal(victim, Known(draw(30, 0)), nothing, context())
    assert all(torch.equal(a, b) for a, b in zip(before, repaired.parameters(), strict=True))


def test_every_target_has_a_true_shift_and_all_to_all_has_one_for_each_class():
    labels = torch.tensor([0, 0, 1, 1, 2, 2])
    change = torch.eye(6)
    several, rows = true_shifts(change, labels, torch.tensor([2, 1, 2, 0, 1, 0]), 3)
    assert [one.targets for one in several] == [(0,) * 3, (1,) * 3, (2,) * 3]
    assert torch.equal(rows[2, 0], torch.tensor([0.5, 0, 0.5, 0, 0, 0]))
    assert torch.equal(rows[2, 0], rows[2, 1])
    [one], rows = true_shifts(change, labels, (labels + 1) % 3, 3)
    assert one.targets == (1, 2, 0)
    assert torch.equal(rows[0, 1], torch.tensor([0, 0, 0.5, 0.5, 0, 0]))
