"""Fine-Pruning: a channel that is inactive on clean images is pruned, and stays pruned."""

import pytest
import torch
from planted import Victim, context, pixel_task
from torch import nn

from bench.defenses.fine_pruning import FinePruning, active_channels, without_share
from bench.plugin import Known

TASK = pixel_task(classes=3, side=8, target=2, trigger=40)


def victim() -> Victim:
    return Victim(TASK, speaks=8, shouts=24, sensitivity=4, asleep_below=2)


@pytest.mark.parametrize("epochs", [0, 3])
def test_the_backdoors_channel_is_pruned_and_stays_pruned(epochs: int) -> None:
    model, test, notes = victim(), TASK.draw(90, seed=2), context()
    images = TASK.triggered(test.floats)
    assert bool((model(images).argmax(1) == TASK.target).all())
    repaired = FinePruning(epochs=epochs).repair(model, Known(TASK.draw(60, seed=1)), notes)
    assert notes.diagnostics["pruned"] == {"channels": 1, "of": TASK.classes + 1}
    weight = repaired.get_parameter("head.weight")
    assert not weight[:, model.backdoor].any()
    assert bool((repaired(images).argmax(1) == test.labels).all())
    assert not repaired.training
    assert not weight._backward_hooks


def test_a_pruned_channel_that_fine_tuning_could_use_stays_pruned() -> None:
    notes = context()
    repaired = FinePruning(epochs=3, bound=0.5).repair(victim(), Known(TASK.draw(60, seed=1)), notes)
    assert notes.diagnostics["pruned"]["channels"] == 2  # the inactive one, and that of a class
    assert int((repaired.get_parameter("head.weight") == 0).all(0).sum()) == 2


def test_fine_tuning_trains_the_remaining_channels() -> None:
    before, repaired = victim(), FinePruning(epochs=2).repair(victim(), Known(TASK.draw(60, seed=1)), context())
    assert not torch.equal(repaired.get_parameter("head.weight")[:, 0], before.head.weight[:, 0])


@pytest.mark.parametrize("bound", [0.0, 0.1, 0.5])
@pytest.mark.parametrize("step", [0.01, 0.1, 1.0])
def test_pruning_ends_at_the_last_network_within_the_bound(step: float, bound: float) -> None:
    draws = torch.Generator().manual_seed(3)
    features, linear = torch.rand(200, 50, generator=draws) ** 3, nn.Linear(50, 4)
    with torch.no_grad():
        linear.weight.copy_(torch.randn(4, 50, generator=draws))
        linear.bias.copy_(torch.randn(4, generator=draws))
    labels = linear(features).argmax(1)
    labels[::5] = (labels[::5] + 1) % 4  # accuracy before: 0.8

    def accuracy(pruned: int) -> float:
        weight = linear.weight.detach().clone()
        weight[:, features.mean(0).argsort()[:pruned]] = 0
        return float(((features @ weight.T + linear.bias).argmax(1) == labels).float().mean())

    size = max(1, round(step * 50))
    active = active_channels(linear, features, labels, step=step, bound=bound)
    pruned = int((~active).sum())
    assert set((~active).nonzero()[:, 0].tolist()) == set(features.mean(0).argsort()[:pruned].tolist())
    assert pruned % size == 0
    floor = (1 - bound) * accuracy(0) - 1e-6
    assert all(accuracy(count) >= floor for count in range(0, pruned + 1, size))
    assert pruned == 50 or accuracy(pruned + size) < floor


def test_the_same_seed_gives_the_same_network() -> None:
    first, second = (FinePruning(epochs=2).repair(victim(), Known(TASK.draw(60, seed=1)), context(4)) for _ in range(2))
    for one, other in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize(("share", "pruned"), [(0, 0), (0.24, 2), (0.5, 5), (1, 10)])
def test_a_share_is_pruned_whatever_it_costs_the_least_active_first(share: float, pruned: int) -> None:
    features = torch.rand(20, 10, generator=torch.Generator().manual_seed(1))
    least = features.mean(0).argsort()[:pruned]
    assert set((~without_share(features, share)).nonzero()[:, 0].tolist()) == set(least.tolist())


def test_the_share_replaces_the_bound() -> None:
    notes = context()
    repaired = FinePruning(epochs=0, share=1, bound=0).repair(victim(), Known(TASK.draw(60, seed=1)), notes)
    assert notes.diagnostics["pruned"]["channels"] == notes.diagnostics["pruned"]["of"] == TASK.classes + 1
    assert not repaired.get_parameter("head.weight").any()


def test_the_share_is_in_no_key_while_it_is_not_given() -> None:
    assert "share" not in FinePruning().model_dump()
    assert FinePruning(share=0.0).model_dump()["share"] == 0
