"""FST: the new last layer, its norm, and the penalty that turns it away from the old one."""

import torch
import torch.nn.functional as F
from planted import THREE_CLASSES, awake_victim, context
from torch import nn

from bench.defenses.fst import FST, Shift, reinitialise
from bench.plugin import Known


def test_the_new_last_layer_is_random_and_reproducible() -> None:
    layers = [nn.Linear(50, 4) for _ in range(2)]
    for layer in layers:
        reinitialise(layer, torch.Generator().manual_seed(5))
    weight, bias = layers[0].weight, layers[0].bias
    assert torch.equal(weight, layers[1].weight)
    assert torch.equal(bias, layers[1].bias)
    assert 0.9 < float(weight.detach().abs().max()) * 50**0.5 <= 1


def test_the_last_layer_turns_away_from_its_old_weights_at_the_same_norm() -> None:
    old, data = awake_victim().head.weight.detach(), THREE_CLASSES.draw(60, seed=1)
    products = []
    for alpha in (0.0, 0.2):
        repaired = FST(alpha=alpha).repair(awake_victim(), Known(data), context())
        weight = repaired.get_parameter("head.weight").detach()
        torch.testing.assert_close(weight.norm(), old.norm())
        products.append(float((weight * old).sum()))
    assert products[1] < products[0]


def test_the_penalty_is_alpha_times_the_inner_product() -> None:
    victim, data = awake_victim(), THREE_CLASSES.draw(20, seed=1)
    old, objective = victim.head.weight.detach().clone(), Shift(victim.head, alpha=0.3)
    reinitialise(victim.head, torch.Generator().manual_seed(0))
    loss = objective.loss(victim, data.floats, data.labels, 0.0)
    expected = F.cross_entropy(victim(data.floats), data.labels) + 0.3 * torch.sum(victim.head.weight * old)
    torch.testing.assert_close(loss, expected)
