"""Masks over channels, and pruning by them: what changes is the channels named, and nothing else."""

import copy

import pytest
import timm
import torch
from planted import FOUR_CLASSES, context, normalised_victim
from torch import Tensor, nn

from bench.defenses._channels import Channels, Norm, accuracy, prune_below, rescaled, scaled_layers, trained_masks
from bench.plugin import LabelledImages


def test_gains_and_offsets_are_multiplied_and_nothing_else_changes() -> None:
    network = timm.create_model("resnet18", num_classes=3).eval()
    layers, images = scaled_layers(network), torch.rand(3, 3, 32, 32)
    draws = torch.Generator().manual_seed(0)
    gains, offsets = ([torch.rand(len(layer.weight), generator=draws) for layer in layers.values()] for _ in range(2))
    direct = copy.deepcopy(network)
    with torch.no_grad():
        for layer, gain, offset in zip(scaled_layers(direct).values(), gains, offsets, strict=True):
            layer.weight.mul_(gain)
            layer.bias.add_(0.5).mul_(offset)
        for layer in layers.values():
            layer.bias.add_(0.5)
        before = copy.deepcopy(network.state_dict())
        wanted = direct(images)
        torch.testing.assert_close(rescaled(network, layers, gains, offsets)(images), wanted, rtol=0.05, atol=0.05)
        network.train()
        assert not torch.allclose(rescaled(network, layers, gains, offsets)(images), wanted, atol=0.05)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


@pytest.mark.parametrize("bound", [0.0, 0.1, 0.5])
def test_pruning_ends_at_the_last_threshold_within_the_bound(bound: float) -> None:
    torch.manual_seed(4)
    network = nn.Sequential(nn.Conv2d(1, 30, 3), nn.BatchNorm2d(30), nn.ReLU(), nn.Flatten(), nn.LazyLinear(4)).eval()
    pixels = torch.randint(0, 256, (200, 1, 6, 6), dtype=torch.uint8)
    labels = network(pixels.float() / 255).argmax(1)
    labels[::10] = (labels[::10] + 1) % 4
    data, masks = LabelledImages(pixels, labels), [torch.rand(30)]
    layers = scaled_layers(network)

    def accuracy_at(threshold: float) -> float:
        return accuracy(rescaled(network, layers, [(masks[0] >= threshold).float()]), data)

    before, wanted = accuracy_at(0), 0.0
    for number in range(1, 20):
        if accuracy_at(number * 0.05) < (1 - bound) * before or (masks[0] < number * 0.05).all():
            break
        wanted = number * 0.05
    result = prune_below(network, layers, masks, data, bound=bound, step=0.05)
    gains = network.get_parameter("1.weight")
    assert torch.equal(gains == 0, masks[0] < wanted)
    assert result.pruned == int((gains == 0).sum())
    assert result.accuracy == accuracy(rescaled(network, layers, [torch.ones(30)]), data)


def test_trained_masks_stay_between_0_and_1_and_the_network_as_it_was() -> None:
    network, data = normalised_victim(), FOUR_CLASSES.draw(40, seed=1)
    before = copy.deepcopy(network.state_dict())
    direction = torch.linspace(-1, 1, network.backdoor + 1)

    def loss(layers: dict[str, Norm], masks: Channels, images: Tensor, labels: Tensor) -> Tensor:
        assert network.training
        return (masks[0] * direction).sum() + 0 * rescaled(network, layers, masks)(images).sum()

    [mask] = trained_masks(network, data, context(), loss, epochs=30, learning_rate=0.2, batch_size=20)
    assert torch.equal(mask[direction > 0.1], torch.zeros(int((direction > 0.1).sum())))
    assert torch.equal(mask[direction < 0], torch.ones(int((direction < 0).sum())))
    assert not network.training
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_steps_take_batches_that_are_drawn_with_replacement() -> None:
    network, data = normalised_victim(), FOUR_CLASSES.draw(40, seed=1)
    seen: list[Tensor] = []

    def loss(layers: dict[str, Norm], masks: Channels, images: Tensor, labels: Tensor) -> Tensor:
        seen.append(images)
        return masks[0].sum()

    settings = {"epochs": 1, "learning_rate": 0.1, "batch_size": 30}
    trained_masks(network, data, context(), loss, **settings, steps=5, vary=lambda images: images + 1)
    assert [len(batch) for batch in seen] == [30] * 5
    assert min(float(batch.min()) for batch in seen) >= 1
    assert len(torch.cat(seen[:1]).flatten(1).unique(dim=0)) < 30  # some image comes twice
