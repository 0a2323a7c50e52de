"""Mixed precision gives no number that is none: not in gradients, not in weights, and the same ones in every run."""

import math

import pytest
import torch
from torch import Tensor, nn

import bench
from bench.models.resnet18 import ResNet18
from bench.plan.recipes import RECIPES
from bench.plugin.attack import Objective
from bench.plugin.values import ImageSpec, LabelledImages
from bench.store.store import Store
from bench.toolbox.precision import cpu_bf16, expect_finite
from bench.toolbox.training import autocast, train

CPU = torch.device("cpu")
UNWRITTEN = {
    "1x1, kernel 2, stride 2": (nn.Conv2d(8, 16, 2, 2, 1), (1, 1)),
    "1x1, kernel 3, stride 2": (nn.Conv2d(8, 16, 3, 2, 1), (1, 1)),
    "1x1, kernel 3, stride 3": (nn.Conv2d(8, 16, 3, 3, 1), (1, 1)),
    "1x1, kernel 5, stride 2": (nn.Conv2d(8, 16, 5, 2, 2), (1, 1)),
    "1x1, kernel 7, stride 2": (nn.Conv2d(8, 16, 7, 2, 3), (1, 1)),
    "1x1, every tap sees the pixel": (nn.Conv2d(8, 16, 1, 2), (1, 1)),
    "1x1, depthwise": (nn.Conv2d(16, 16, 3, 2, 1, groups=16), (1, 1)),
    "1x1, groups": (nn.Conv2d(16, 32, 3, 2, 1, groups=8), (1, 1)),
    "2x1, stride 2": (nn.Conv2d(8, 16, 3, 2, 1), (2, 1)),
    "8x1, stride 2": (nn.Conv2d(8, 16, 3, 2, 1), (8, 1)),
    "2x2, stride 4": (nn.Conv2d(8, 16, 3, 4, 1), (2, 2)),
    "3x3, stride 4": (nn.Conv2d(8, 16, 5, 4, 2), (3, 3)),
    "1x2, stride 2 down and 3 across": (nn.Conv2d(8, 16, 3, (2, 3), 1), (1, 2)),
    "a sequence of 1": (nn.Conv1d(8, 16, 3, 2, 1), (1,)),
    "transposed, to width 1": (nn.ConvTranspose2d(8, 16, 3, 2, 1), (4, 1)),
}
RIGHT = {
    "2x2, stride 2, as in a ResNet on 28x28": (nn.Conv2d(8, 16, 3, 2, 1), (2, 2)),
    "1x2, stride 2": (nn.Conv2d(8, 16, 3, 2, 1), (1, 2)),
    "4x4, stride 2": (nn.Conv2d(8, 16, 3, 2, 1), (4, 4)),
    "1x1, no stride": (nn.Conv2d(8, 16, 3, 1, 1), (1, 1)),
    "same padding": (nn.Conv2d(8, 16, 3, padding="same"), (1, 1)),
    "transposed, to width 2": (nn.ConvTranspose2d(8, 16, 2, 2), (1, 1)),
}


def inputs(layer: nn.Module, size: tuple[int, ...]) -> Tensor:
    return torch.randn(32, layer.in_channels, *size, generator=torch.Generator().manual_seed(0))


def litter() -> None:
    """Leave NaN in memory that was freed."""
    for size in 4 ** torch.arange(3, 10):
        for kind in (torch.bfloat16, torch.float32):
            torch.full((int(size),), torch.nan, dtype=kind)


def gradient(layer: nn.Module, images: Tensor, context) -> Tensor:
    layer.zero_grad()
    with context:
        output = layer(images)
    litter()
    output.float().square().sum().backward()
    return layer.weight.grad.clone()


@pytest.mark.parametrize("case", UNWRITTEN | RIGHT)
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_weight_gradients_in_mixed_precision_are_those_of_single_precision(case, layout):
    layer, size = (UNWRITTEN | RIGHT)[case]
    images = inputs(layer, size)
    if images.ndim == 4:
        layer, images = layer.to(memory_format=layout), images.contiguous(memory_format=layout)
    expected = gradient(layer, images, torch.autocast("cpu", enabled=False))
    for _ in range(5):
        found = gradient(layer, images, autocast(CPU))
        torch.testing.assert_close(found, expected, rtol=0.05, atol=0.02 * float(expected.abs().max()))


@pytest.mark.parametrize("case", UNWRITTEN | RIGHT)
def test_only_layers_whose_gradient_is_wrong_in_bf16_are_computed_in_single_precision(case):
    layer, size = (UNWRITTEN | RIGHT)[case]
    kinds: set[torch.dtype] = set()

    def keep(value: Tensor) -> Tensor:
        kinds.add(value.dtype)
        return value

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda value: value), cpu_bf16():
        output = layer(inputs(layer, size))
    assert kinds == {torch.float32 if case in UNWRITTEN else torch.bfloat16}
    assert output.dtype == torch.bfloat16


@pytest.mark.parametrize("case", UNWRITTEN)
def test_without_a_gradient_of_the_weights_nothing_differs_from_plain_bf16(case):
    layer, size = UNWRITTEN[case]
    images = inputs(layer, size)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        expected = layer(images)
    with torch.no_grad(), cpu_bf16():
        assert torch.equal(layer(images), expected)
    with cpu_bf16(), torch.no_grad():
        assert torch.equal(layer(images), expected)


def test_a_network_without_such_layers_trains_to_the_same_bits_as_in_plain_bf16(monkeypatch):
    def weights() -> list[Tensor]:
        torch.manual_seed(0)
        network = ResNet18(width=4, stem="pooled").build(ImageSpec(1, 28, 28, 10, (0.5,), (0.25,)))
        train(network, examples(1, 28), RECIPES["quick"].model_copy(update={"epochs": 1}), seeded())
        return list(network.state_dict().values())

    monkeypatch.setattr(bench.toolbox.training, "autocast", lambda device: cpu_bf16())
    mended = weights()
    monkeypatch.setattr(bench.toolbox.training, "autocast", lambda device: torch.autocast("cpu", torch.bfloat16))
    assert all(map(torch.equal, mended, weights()))


def test_two_runs_of_one_key_give_the_same_finite_weights(tmp_path, monkeypatch):
    loss = Objective.loss

    def loss_and_litter(*arguments) -> Tensor:
        value = loss(*arguments)
        litter()
        return value

    stores = []
    for name in ("clean memory", "littered memory"):
        results = bench.run(
            datasets="digits",
            models="resnet18[width=4,stem=pooled]",  # its last stages see 1x1
            attacks="badnets",
            defenses="clp",
            recipes="quick[epochs=2]",
            store=tmp_path / name,
            executor="inline",
        )
        assert results.ok
        stores.append(Store(tmp_path / name))
        monkeypatch.setattr(Objective, "loss", loss_and_litter)
    [key] = stores[0].keys("victims")
    first, second = (store.tensors("victims", key, "model.safetensors") for store in stores)
    assert first.keys() == second.keys()
    assert [name for name, value in first.items() if not bool(value.isfinite().all())] == []
    assert [name for name, value in first.items() if not torch.equal(value, second[name])] == []


# --- numbers that are none ---------------------------------------------------------------------------


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def examples(channels: int, side: int) -> LabelledImages:
    pixels = torch.randint(0, 256, (64, channels, side, side), generator=seeded(), dtype=torch.uint8)
    return LabelledImages(pixels, torch.arange(64) % 10)


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 10))


def failing(model: nn.Module, objective: Objective | None = None, rate: float = 0.1) -> tuple[float, str]:
    """How much of a training of five epochs is done when it fails, in [0, 1], and what it then says."""
    recipe = RECIPES["quick"].model_copy(update={"epochs": 5, "batch_size": 32, "learning_rate": rate})
    shares: list[float] = []
    with pytest.raises(ValueError, match=r"not finite.* after epoch \d of 5$") as error:
        train(model, examples(1, 8), recipe, seeded(), objective=objective, progress=shares.append)
    return max(shares), str(error.value)


class Breaks(Objective):
    """At one step its loss is not finite; with ``gradient`` it is, but the gradient of the first bias is not."""

    def __init__(self, gradient: bool) -> None:
        self.gradient, self.steps = gradient, 0

    def loss(self, network, images, labels, share):
        self.steps += 1
        loss = super().loss(network, images, labels, share)
        if self.steps != 4:
            return loss
        if not self.gradient:
            return loss + math.inf  # the gradients stay finite
        bias = network[0].bias
        return loss + (bias - bias.detach()).sqrt().sum()


def test_a_training_that_diverges_ends_after_its_epoch_and_names_a_layer():
    share, said = failing(network(), rate=1e30)
    assert share == 0.2
    assert said.startswith("0.weight holds 36 values that are not finite")


def test_a_gradient_that_is_not_finite_is_named_with_its_layer():
    share, said = failing(network(), Breaks(gradient=True))
    assert share == 0.4
    assert "0.bias holds 4 values that are not finite" in said


def test_a_loss_that_is_not_finite_ends_the_training_though_all_weights_are():
    share, said = failing(network(), Breaks(gradient=False))
    assert share == 0.4
    assert said == "the sum of the losses holds 1 values that are not finite after epoch 2 of 5"


def test_a_gradient_alone_is_looked_at_and_integers_are_passed_over():
    model = network()
    expect_finite(model)
    model[4].weight.grad = torch.full_like(model[4].weight, torch.inf)
    with pytest.raises(ValueError, match=r"^the gradient of 4\.weight holds 1440 values that are not finite$"):
        expect_finite(model)
