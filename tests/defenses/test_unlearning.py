"""Clean unlearning, with which RNP and TSBD begin."""

import copy

import torch
from planted import FOUR_CLASSES, accuracy, context, normalised_victim

from bench.defenses._unlearning import unlearned


def test_unlearning_changes_a_copy_until_it_fails() -> None:
    model, data = normalised_victim(), FOUR_CLASSES.draw(120, 1)
    before = copy.deepcopy(model.state_dict())
    network, reached = unlearned(model, data, context(), accuracy=0.3, epochs=50, learning_rate=0.01, batch_size=40)
    assert reached <= 0.3
    assert accuracy(network, data.floats, data.labels) < 0.6
    assert not network.training
    assert not model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
