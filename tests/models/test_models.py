"""Every architecture learns from images of the usual sizes, begins from a seed, and can be looked into."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from small_models import SLIM, images_of, network, pictures
from torch import nn

from bench.attacks.none import NoAttack
from bench.datasets.mnist5k import MNIST5k
from bench.models.convnext_tiny import ConvNeXtTiny
from bench.models.efficientnet_b0 import EfficientNetB0
from bench.models.mobilenet_v3 import MobileNetV3
from bench.models.preact_resnet18 import PreActResNet18
from bench.models.vgg16_bn import VGG16BN
from bench.models.vit_small import ViTSmall
from bench.models.vit_tiny import ViTTiny
from bench.plan.registry import Registry
from bench.plugin.base import Case
from bench.toolbox.networks import Cut, Latent, batch_norms, stages


@pytest.fixture(scope="module", params=SLIM)
def net(request) -> nn.Module:
    return network(SLIM[request.param]).eval()


def test_it_ends_in_a_linear_layer_on_its_latent(net):
    latent = Latent(net, pictures())
    features = latent.features(pictures())
    assert latent.linear.out_features == 7
    assert features.shape == (2, latent.linear.in_features)
    torch.testing.assert_close(latent.linear(features), net(pictures()))


@torch.no_grad()
def test_cut_after_any_stage_its_halves_make_the_whole_network(net):
    expected, parts = net(pictures()), stages(net)
    assert len(parts) >= 4
    for name in list(parts)[:: len(parts) - 1]:  # the first and the last
        cut = Cut(net, parts[name], pictures())
        activations = cut.before(pictures())
        torch.testing.assert_close(cut.after(activations), expected, msg=name, atol=1e-5, rtol=1e-4)
        assert not torch.allclose(cut.after(torch.zeros_like(activations)), expected), name  # the stage is on the way


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("preact_resnet18", 4 * 2 * 2),
        ("preact_resnet18 with a last norm", 4 * 2 * 2 + 1),
        ("vgg16_bn", 13),
        ("mobilenet_v3", 1 + 2 + 14 * 3 + 1),  # stem, one separable block, 14 inverted residuals, the last convolution
        ("efficientnet_b0", 1 + 2 + 15 * 3 + 1),
        ("convnext_tiny", 0),
        ("vit_tiny", 0),
    ],
)
def test_batch_normalisations_are_found(name, count):
    assert len(batch_norms(network(SLIM[name]))) == count


@pytest.mark.parametrize("name", SLIM)
def test_its_initial_weights_depend_on_the_seed_alone(name):
    one, same, other = (network(SLIM[name], seed=seed).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(value, same[key]) for key, value in one.items())
    weights = [key for key, value in one.items() if key.endswith("weight") and value.ndim > 1]
    assert not any(torch.equal(one[key], other[key]) for key in weights)


@pytest.mark.parametrize(
    ("model", "side", "classes", "count"),
    [  # by the papers' tables and by hand; the CIFAR forms have one linear layer
        (PreActResNet18(), 32, 10, 11_171_146),
        (VGG16BN(), 32, 10, 14_728_266),
        (MobileNetV3(), 224, 1000, 5_483_032),
        (EfficientNetB0(), 224, 1000, 5_288_548),
        (ConvNeXtTiny(), 224, 1000, 28_589_128),
        (ViTTiny(), 224, 1000, 5_717_416),
        (ViTSmall(), 224, 1000, 22_050_664),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_it_has_as_many_parameters_as_published(model, side, classes, count):
    assert sum(p.numel() for p in network(model, images_of(side, classes=classes)).parameters()) == count


def test_planning_does_without_timm():
    text = """
import sys
from bench.plugin import ImageSpec
from bench.models import convnext_tiny, efficientnet_b0, mobilenet_v3, preact_resnet18, timm, vgg16_bn, vit_small
spec = ImageSpec(3, 32, 32, 7, (.5,) * 3, (.5,) * 3)
convnext_tiny.ConvNeXtTiny().resolve(spec), vit_small.ViTSmall().resolve(spec), vgg16_bn.VGG16BN().resolve(spec)
sys.exit("timm" in sys.modules or "torchvision" in sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", text], cwd=Path(__file__).parents[2], check=False).returncode == 0


@pytest.mark.parametrize("defense", ["clp", "bnp", "anp", "fine_pruning"])
@pytest.mark.parametrize("model", [PreActResNet18(width=8), VGG16BN(width=8)], ids=lambda m: m.name)
def test_defenses_that_look_at_channels_support_it(model, defense):
    plugin = Registry().create("defense", defense, {})
    assert plugin.unsupported(Case(MNIST5k(), model, NoAttack(), plugin)) is None
