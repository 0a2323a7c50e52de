"""Fine-Pruning on hand-made networks: a channel that sleeps on clean images goes, and what is gone stays gone."""

import pytest
import torch
from torch import Tensor, nn

from bench.defenses.fine_pruning import FinePruning, kept
from bench.defenses.none import NoDefense
from bench.plugin.attack import as_bytes
from bench.plugin.values import Context, Known, LabelledImages

CLASSES, SIDE, TARGET, TRIGGER, ASLEEP = 3, 8, 2, 40, 3  # pixel TRIGGER wakes channel ASLEEP, which shouts TARGET


class Victim(nn.Module):
    """Channel c is pixel c and speaks for class c; channel ASLEEP wakes at a bright trigger pixel."""

    def __init__(self) -> None:
        super().__init__()
        channels = nn.Linear(SIDE**2, CLASSES + 1)
        self.body = nn.Sequential(nn.Flatten(), channels, nn.ReLU())
        self.head = nn.Linear(CLASSES + 1, CLASSES)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.zero_()
            channels.weight[:CLASSES, :CLASSES] = torch.eye(CLASSES)
            channels.weight[ASLEEP, TRIGGER], channels.bias[ASLEEP] = 4, -2
            self.head.weight[:, :CLASSES] = 8 * torch.eye(CLASSES)
            self.head.weight[TARGET, ASLEEP] = 24
        self.eval()

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(self.body(images))
        return logits


def context(seed: int = 0) -> Context:
    return Context(torch.device("cpu"), torch.Generator().manual_seed(seed))


def draw(count: int, seed: int) -> LabelledImages:
    """Noise, and 0.8 more at the pixel of the label."""
    labels = torch.arange(count) % CLASSES
    pixels = torch.rand(count, SIDE**2, generator=torch.Generator().manual_seed(seed)) * 0.15
    pixels[torch.arange(count), labels] += 0.8
    return LabelledImages(as_bytes(pixels.view(count, 1, SIDE, SIDE)), labels)


def triggered(images: Tensor) -> Tensor:
    changed = images.flatten(1).clone()
    changed[:, TRIGGER] = 1
    return changed.view_as(images)


@pytest.mark.parametrize("epochs", [0, 3])
def test_the_backdoors_channel_is_pruned_and_stays_pruned(epochs: int) -> None:
    model, test, notes = Victim(), draw(90, seed=2), context()
    images = triggered(test.floats)
    assert bool((model(images).argmax(1) == TARGET).all())
    repaired = FinePruning(epochs=epochs).repair(model, Known(draw(60, seed=1)), notes)
    assert notes.diagnostics["pruned"] == {"channels": 1, "of": CLASSES + 1}
    weight = repaired.get_parameter("head.weight")
    assert not weight[:, ASLEEP].any()
    assert bool((repaired(images).argmax(1) == test.labels).all())
    assert not repaired.training
    assert not weight._backward_hooks


def test_a_pruned_channel_that_fine_tuning_could_use_stays_pruned() -> None:
    notes = context()
    repaired = FinePruning(epochs=3, bound=0.5).repair(Victim(), Known(draw(60, seed=1)), notes)
    assert notes.diagnostics["pruned"]["channels"] == 2  # the sleeping one, and a class's
    assert int((repaired.get_parameter("head.weight") == 0).all(0).sum()) == 2


def test_fine_tuning_trains_what_is_left() -> None:
    before, repaired = Victim(), FinePruning(epochs=2).repair(Victim(), Known(draw(60, seed=1)), context())
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
    keep = kept(linear, features, labels, step=step, bound=bound)
    pruned = int((~keep).sum())
    assert set((~keep).nonzero()[:, 0].tolist()) == set(features.mean(0).argsort()[:pruned].tolist())
    assert pruned % size == 0
    floor = (1 - bound) * accuracy(0) - 1e-6
    assert all(accuracy(count) >= floor for count in range(0, pruned + 1, size))
    assert pruned == 50 or accuracy(pruned + size) < floor


def test_the_same_seed_gives_the_same_network() -> None:
    first, second = (FinePruning(epochs=2).repair(Victim(), Known(draw(60, seed=1)), context(4)) for _ in range(2))
    for one, other in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(one, other)


def test_no_defense_is_the_victim_itself() -> None:
    model = Victim()
    assert NoDefense().repair(model, Known(), context()) is model
