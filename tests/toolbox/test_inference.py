"""What networks answer: in the precision of their training, the same at any batch size, with logits in full."""

import pytest
import torch
from small_models import SLIM, SPEC, network
from torch import nn

from bench.plan.recipes import RECIPES
from bench.plugin.values import LabelledImages
from bench.toolbox import inference, training
from bench.toolbox.inference import Answers, precision_on
from bench.toolbox.networks import edited, last_linear, watching

NAMES = ["resnet18", "preact_resnet18", "vit_tiny"]
COUNT = 12
IMAGES = torch.rand(COUNT, *SPEC.shape, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def bf16(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on hardware that computes in bf16, which PyTorch imitates where it is missing."""
    monkeypatch.setattr(inference, "has_bf16", lambda device: True)


def rounded(values: torch.Tensor) -> torch.Tensor:
    return values.bfloat16().float()


@pytest.mark.parametrize("name", NAMES)
def test_the_network_computes_in_bf16_and_its_logits_are_not_rounded(name, bf16):
    net = network(SLIM[name]).eval()
    latents = []
    with watching(last_linear(net, IMAGES), lambda _, latent: latents.append(latent.float()), inputs=True):
        logits = Answers(net)(IMAGES)
    last = last_linear(net, IMAGES)
    assert logits.dtype == torch.float32
    assert not torch.equal(logits, rounded(logits))
    torch.testing.assert_close(logits, nn.functional.linear(latents[-1], last.weight, last.bias))
    single = net(IMAGES).detach()
    assert not torch.equal(logits, single)
    assert float((logits - single).abs().max() / single.abs().max()) < 0.05


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_the_logits_of_an_image_are_the_same_at_any_batch_size(name, precision, bf16):
    answers = Answers(network(SLIM[name]).eval().to(memory_format=torch.channels_last), precision)
    together = answers(IMAGES)
    for size in (1, 5):
        apart = torch.cat([answers(part) for part in IMAGES.split(size)])
        torch.testing.assert_close(apart, together, atol=1e-5, rtol=1e-4)


def test_single_precision_is_the_network_itself_bit_for_bit(bf16):
    net = network(SLIM["resnet18"]).eval()
    assert torch.equal(Answers(net, "float32")(IMAGES), net(IMAGES))


@pytest.mark.parametrize("fast", [True, False])
def test_evaluation_has_the_precision_and_the_layout_of_training(fast, monkeypatch):
    for module in (inference, training):
        monkeypatch.setattr(module, "has_bf16", lambda device: fast)
    net, seen = network(SLIM["resnet18"]), {}
    convolution = next(module for module in net.modules() if isinstance(module, nn.Conv2d))
    data = LabelledImages((IMAGES * 255).byte(), torch.arange(COUNT) % 7)
    recipe = RECIPES["quick"].model_copy(update={"epochs": 1, "batch_size": COUNT})
    with watching(convolution, lambda _, output: seen.update(trained=output.dtype)):
        training.train(net, data, recipe, torch.Generator().manual_seed(0))
    with watching(convolution, lambda _, output: seen.update(evaluated=output.dtype)):
        Answers(net, precision_on(torch.device("cpu")))(IMAGES)
    assert seen["trained"] == seen["evaluated"] == (torch.bfloat16 if fast else torch.float32)


def test_a_network_that_ends_otherwise_is_computed_in_single_precision(bf16):
    net = nn.Sequential(network(SLIM["resnet18"]), nn.Softmax(1)).eval()
    assert torch.equal(Answers(net)(IMAGES), net(IMAGES))


def test_what_a_defense_does_to_the_last_layer_counts_and_stays(bf16):
    net = network(SLIM["resnet18"]).eval()
    last = last_linear(net, IMAGES)
    usual = Answers(net)(IMAGES)
    with edited(last, lambda logits: logits + 1):
        torch.testing.assert_close(Answers(net)(IMAGES), usual + 1)
    inner = last.forward
    last.forward = lambda latent: 2 * inner(latent)
    own = last.forward
    torch.testing.assert_close(Answers(net)(IMAGES), 2 * usual)
    assert last.forward is own
    del last.forward
    assert torch.equal(Answers(net)(IMAGES), usual)
    assert "forward" not in vars(last)


def test_the_layer_is_whole_again_after_an_error(bf16):
    net = network(SLIM["resnet18"]).eval()
    answers = Answers(net)
    answers(IMAGES)
    with pytest.raises(RuntimeError):
        answers(IMAGES[:, :2])
    assert "forward" not in vars(last_linear(net, IMAGES))
