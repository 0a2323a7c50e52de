"""The oracle of retraining: what it returns never saw the victim, nor a poisoned image."""

import torch
from four_pixels import Victim, context, draw

from bench.defenses.retrain import Retrain
from bench.plugin.values import Known, Secret


def test_it_returns_the_network_that_was_trained_on_clean_images_and_leaves_the_victim():
    clean, victim, empty = Victim().eval(), Victim().eval(), draw(0, 0)
    before = {name: value.clone() for name, value in victim.state_dict().items()}
    secret = Secret(empty, empty.floats, empty.labels, lambda: clean)
    assert Retrain().reveal(victim, Known(draw(30, 0)), secret, context()) is clean
    assert all(torch.equal(value, victim.state_dict()[name]) for name, value in before.items())
