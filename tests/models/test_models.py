"""The architectures: each fits images of any usual size, begins from a seed, and can be looked into."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from torch import nn
from torchvision.models import vgg

from bench.attacks.none import NoAttack
from bench.datasets.mnist5k import MNIST5k
from bench.errors import RequestError
from bench.models import timm as timm_plugin
from bench.models import vgg16_bn
from bench.models._stem import keep_resolution
from bench.models.convnext_tiny import ConvNeXtTiny
from bench.models.efficientnet_b0 import EfficientNetB0
from bench.models.mobilenet_v3 import MobileNetV3
from bench.models.preact_resnet18 import PreActResNet18
from bench.models.resnet18 import ResNet18
from bench.models.resnet50 import ResNet50
from bench.models.timm import Timm
from bench.models.vgg16_bn import VGG16BN
from bench.models.vit_small import ViTSmall
from bench.models.vit_tiny import ViTTiny
from bench.plan.plan import make_plan
from bench.plan.registry import Registry
from bench.plan.request import Request
from bench.plugin.defense import Case
from bench.plugin.model import Model
from bench.plugin.values import ImageSpec
from bench.toolbox.networks import Cut, Latent, batch_norms, last_linear, stages


def images_of(side: int, channels: int = 3, classes: int = 7) -> ImageSpec:
    return ImageSpec(channels, side, side, classes, mean=(0.5,) * channels, std=(0.25,) * channels)


SPEC = images_of(32)
SLIM: dict[str, Model] = {
    "resnet18": ResNet18(width=8),
    "resnet50": ResNet50(width=8),
    "preact_resnet18": PreActResNet18(width=8),
    "preact_resnet18 with a last norm": PreActResNet18(width=8, last_norm=True),
    "vgg16_bn": VGG16BN(width=8),
    "mobilenet_v3": MobileNetV3(),
    "efficientnet_b0": EfficientNetB0(),
    "convnext_tiny": ConvNeXtTiny(),
    "vit_tiny": ViTTiny(),
    "vit_small": ViTSmall(),
    "timm": Timm(architecture="mobilenetv3_small_050"),
}


def network(model: Model, spec: ImageSpec = SPEC, seed: int = 0) -> nn.Module:
    fitted = model.resolve(spec)
    torch.manual_seed(seed)
    return fitted.build(spec)


def pictures(spec: ImageSpec = SPEC) -> torch.Tensor:
    return torch.rand(2, *spec.shape, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module", params=SLIM)
def net(request) -> nn.Module:
    return network(SLIM[request.param]).eval()


@pytest.mark.parametrize("spec", [SPEC, images_of(28, channels=1), images_of(64)], ids=["32", "28 grey", "64"])
@pytest.mark.parametrize("name", SLIM)
def test_it_learns_from_images_of_the_usual_sizes(name, spec):
    model = network(SLIM[name], spec).train()
    logits = model(pictures(spec))
    assert logits.shape == (2, 7)
    nn.functional.cross_entropy(logits, torch.tensor([0, 1])).backward()
    for parameter, value in model.named_parameters():
        assert value.grad is not None, parameter
        assert value.grad.isfinite().all(), parameter


def test_it_ends_in_a_linear_layer_behind_a_latent(net):
    latent = Latent(net, pictures())
    features = latent.features(pictures())
    assert latent.linear.out_features == 7
    assert features.shape == (2, latent.linear.in_features)
    torch.testing.assert_close(latent.linear(features), net(pictures()))


@torch.no_grad()
def test_cut_behind_any_stage_it_is_the_whole_network(net):
    expected, found = net(pictures()), stages(net)
    assert len(found) >= 4
    for name in list(found)[:: len(found) - 1]:  # the first and the last
        cut = Cut(net, found[name], pictures())
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
def test_the_seed_alone_decides_how_it_begins(name):
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


def last_sides(model: Model, spec: ImageSpec) -> tuple[int, ...]:
    net, shapes = network(model, spec).eval(), []
    *_, last = stages(net).values()
    last.register_forward_hook(lambda _, __, output: shapes.append(tuple(output.shape[-2:])))
    net(pictures(spec))
    return shapes[0]


@pytest.mark.parametrize(
    ("model", "side", "expected"),
    [
        (PreActResNet18(width=8), 32, 4),
        (PreActResNet18(width=8, stem="pooled"), 32, 2),
        (PreActResNet18(width=8, stem="imagenet"), 32, 1),
        (PreActResNet18(width=8), 96, 3),
        (VGG16BN(width=8), 32, 1),
        (MobileNetV3(), 32, 4),
        (MobileNetV3(stem="imagenet"), 32, 1),
        (MobileNetV3(), 96, 3),
        (MobileNetV3(stem="small"), 96, 12),
        (EfficientNetB0(), 32, 4),
        (EfficientNetB0(stem="imagenet"), 32, 1),
        (ConvNeXtTiny(), 16, 2),
        (ConvNeXtTiny(), 32, 2),
        (ConvNeXtTiny(), 64, 4),
        (ConvNeXtTiny(), 96, 3),
        (Timm(architecture="resnet18"), 32, 4),
        (Timm(architecture="resnet18", stem="imagenet"), 32, 1),
        (Timm(architecture="resnet18d"), 32, 4),
        (Timm(architecture="regnety_002"), 32, 4),
        (Timm(architecture="convnext_atto"), 32, 1),
    ],
    ids=str,
)
def test_small_images_keep_their_resolution_for_longer(model, side, expected):
    assert last_sides(model, images_of(side)) == (expected, expected)


def test_a_stem_without_strides_has_the_parameters_of_the_one_with_them():
    kept, reduced = (network(MobileNetV3(stem=stem)).state_dict() for stem in ("small", "imagenet"))
    assert all(torch.equal(value, reduced[name]) for name, value in kept.items())


def test_parallel_branches_keep_their_resolution_together():
    class Branches(nn.Module):
        def __init__(self):
            super().__init__()
            self.stem = nn.Conv2d(3, 4, 3, stride=2, padding=1)
            self.body, self.short = nn.Conv2d(4, 4, 3, stride=2, padding=1), nn.AvgPool2d(2)
            self.last = nn.Conv2d(4, 4, 3, stride=2, padding=1)

        def forward(self, images):
            x = self.stem(images)
            return self.last(self.body(x) + self.short(x))

    net = Branches()
    keep_resolution(net, torch.zeros(1, 3, 32, 32))
    assert net(torch.zeros(1, 3, 32, 32)).shape[-1] == 16
    assert net.training


@pytest.mark.parametrize(
    ("side", "size"), [(8, 2), (16, 2), (24, 4), (28, 4), (32, 4), (48, 4), (64, 8), (96, 8), (160, 16), (224, 16)]
)
def test_patches_fit_the_images(side, size):
    assert ViTTiny().resolve(images_of(side)).patch_size == size


def test_without_a_plan_patches_fit_too():
    assert ViTTiny().build(images_of(64)).net.patch_embed.num_patches == 8 * 8


def test_patches_asked_for_are_kept_and_images_need_not_be_square():
    spec = ImageSpec(3, 32, 48, 7, (0.5,) * 3, (0.25,) * 3)
    fitted = ViTTiny(patch_size=8).resolve(spec)
    assert fitted.patch_size == 8
    assert fitted.build(spec).eval()(pictures(spec)).shape == (2, 7)


def refusal(model: Model, spec: ImageSpec) -> str:
    with pytest.raises(RequestError) as caught:
        model.resolve(spec)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("model", "side", "complaint"),
    [
        (
            ViTTiny(),
            30,
            "vit_tiny: patch_size=4: expected a divisor of both sides of the images, 30x30 pixels, such as 3",
        ),
        (ViTSmall(patch_size=5), 32, "vit_small: patch_size=5: .* such as 4"),
        (ConvNeXtTiny(patch_size=3), 32, "convnext_tiny: patch_size=3: expected a divisor"),
        (ConvNeXtTiny(patch_size=8), 32, "convnext_tiny: patch_size=8: expected at most an eighth .* 32x32"),
        (ConvNeXtTiny(), 6, "convnext_tiny: patch_size=1: expected at most an eighth .* 6x6"),
        (ConvNeXtTiny(pretrained=True, patch_size=2), 32, "patch_size=2: expected 4 with pretrained=true"),
        (VGG16BN(pretrained=True, width=16), 32, "width=16: expected 64 with pretrained=true"),
        (Timm(architecture="resnet18x"), 32, "timm: unknown architecture name=resnet18x: did you mean 'resnet18'?"),
        (Timm(architecture="zzzz"), 32, "timm: unknown architecture name=zzzz: expected one of"),
        (Timm(architecture="resnet18.best"), 32, "timm: unknown weights name=resnet18.best: expected one of a1_in1k"),
        (
            Timm(architecture="vit_tiny_patch16_224"),
            30,
            r"timm\[name=vit_tiny_patch16_224\]: patch_size=4: expected a div",
        ),
        (Timm(architecture="mobilenetv2_035", pretrained=True), 32, "mobilenetv2_035.*: No pretrained weights exist"),
        (Timm(architecture="inception_v3"), 32, r"timm\[name=inception_v3\]: cannot be built for images of 3x32x32: "),
        (Timm(architecture="resnet18", patch_size=4), 32, r"timm\[name=resnet18\]: cannot be built .*patch_size"),
        (
            Timm(architecture="resnetv2_18"),
            32,
            r"timm\[name=resnetv2_18\]: expected a classifier that ends in a linear",
        ),
    ],
    ids=str,
)
def test_what_does_not_fit_is_refused_in_one_line(model, side, complaint):
    assert re.search(complaint, refusal(model, images_of(side)))


def test_timms_vision_transformers_get_small_patches():
    assert Timm(architecture="vit_tiny_patch16_224").resolve(SPEC).patch_size == 4
    assert Timm(architecture="vit_tiny_patch16_224").resolve(images_of(224)).patch_size == 16
    assert Timm(architecture="swin_tiny_patch4_window7_224").resolve(SPEC).patch_size is None


def test_looking_for_what_does_not_fit_leaves_the_seed_alone():
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    Timm(architecture="mobilenetv3_small_050").resolve(SPEC)
    assert torch.rand(1) == expected


def test_a_timm_name_is_written_as_name():
    registry = Registry([Path(timm_plugin.__file__)])
    request = Request(
        models="timm[name=mobilenetv3_small_050]", datasets="mnist5k", attacks="none", defenses="none", seeds=(0,)
    )
    [cell] = make_plan(request, registry, Path()).cells
    assert cell.victim.model.label == "timm[name=mobilenetv3_small_050]"
    again = registry.create("model", "timm", cell.victim.model.parameters)  # as a worker does
    assert again.model_dump()["name"] == "mobilenetv3_small_050"


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


@pytest.fixture
def weights(monkeypatch) -> dict[str, Any]:
    """What timm finds where its weights lie: by the name of the repository, or an error."""
    found: dict[str, Any] = {}

    def load(repository: str, *_: Any, **__: Any) -> Any:
        if repository not in found:
            raise OSError(f"no connection to {repository}\nand a second line")
        return {name: value.clone() for name, value in found[repository].items()}

    monkeypatch.setattr("timm.models._builder.load_state_dict_from_hf", load)
    return found


def test_weights_that_cannot_be_had_are_one_line(weights):
    line = refusal(MobileNetV3(pretrained=True), SPEC)
    assert line.startswith("mobilenet_v3: pretrained=true: expected weights of mobilenetv3_large_100")
    assert line.endswith("no connection to timm/mobilenetv3_large_100.ra_in1k")
    for model in (
        ViTTiny(pretrained=True),
        ConvNeXtTiny(pretrained=True),
        Timm(architecture="resnet18", pretrained=True),
    ):
        assert "no connection to timm/" in refusal(model, SPEC)


def test_pretrained_weights_come_with_their_own_normalisation(weights):
    source = timm.create_model("mobilenetv3_large_100").state_dict()
    weights["timm/mobilenetv3_large_100.ra_in1k"] = source
    net = network(MobileNetV3(pretrained=True))
    assert torch.equal(net.net.blocks[5][0].conv_dw.weight, source["blocks.5.0.conv_dw.weight"])
    assert last_linear(net.eval(), pictures()).out_features == 7
    torch.testing.assert_close(net.mean.flatten(), torch.tensor([0.485, 0.456, 0.406]))
    torch.testing.assert_close(net.std.flatten(), torch.tensor([0.229, 0.224, 0.225]))
    assert torch.equal(network(MobileNetV3()).mean.flatten(), torch.tensor(SPEC.mean))


def test_grey_images_sum_the_weights_and_take_the_mean_normalisation(weights):
    source = timm.create_model("mobilenetv3_small_050").state_dict()
    weights["timm/mobilenetv3_small_050.lamb_in1k"] = source
    fitted = Timm(architecture="mobilenetv3_small_050", pretrained=True).resolve(images_of(28, channels=1))
    assert fitted.architecture == "mobilenetv3_small_050.lamb_in1k"  # the weights are part of the identity
    net = fitted.build(images_of(28, channels=1))
    torch.testing.assert_close(net.net.conv_stem.weight, source["conv_stem.weight"].sum(1, keepdim=True))
    torch.testing.assert_close(net.mean.flatten(), torch.tensor([(0.485 + 0.456 + 0.406) / 3]))


def test_pretrained_patches_are_resampled(weights):
    source = timm.create_model("vit_tiny_patch16_224").state_dict()
    weights["timm/vit_tiny_patch16_224.augreg_in21k_ft_in1k"] = source
    net = network(ViTTiny(pretrained=True))
    assert net.net.patch_embed.proj.weight.shape == (192, 3, 4, 4)
    assert torch.equal(net.net.blocks[3].mlp.fc1.weight, source["blocks.3.mlp.fc1.weight"])
    torch.testing.assert_close(net.mean.flatten(), torch.tensor([0.5, 0.5, 0.5]))


def test_vgg16_is_the_original_up_to_its_linear_layers(monkeypatch):
    """torchvision's convolutions with torchvision's weights, which need not be downloaded to be compared."""
    theirs = vgg.make_layers(vgg.cfgs["D"], batch_norm=True).eval()
    source = nn.Module()
    source.features, source.pretrained_cfg = theirs, {"mean": (0.4, 0.4, 0.4), "std": (0.2, 0.2, 0.2)}
    monkeypatch.setattr(vgg16_bn, "create", lambda *_, **__: source)
    for norm in (module for module in theirs if isinstance(module, nn.BatchNorm2d)):
        nn.init.normal_(norm.running_mean, std=0.1)
    net = VGG16BN(pretrained=True).build(SPEC).eval()
    with torch.no_grad():
        expected = theirs((pictures() - 0.4) / 0.2).mean((2, 3))
        torch.testing.assert_close(Latent(net, pictures()).features(pictures()), expected)


@torch.no_grad()
def test_a_pre_activation_block_adds_to_what_came_in():
    net = network(PreActResNet18(width=8)).eval()
    first, second = stages(net)["layer2"]
    for block in (first, second):
        nn.init.zeros_(block.conv2.weight)
    x = torch.randn(2, 8, 8, 8)
    torch.testing.assert_close(first(x), first.shortcut(first.norm1(x).relu()))  # activated before it is projected
    wide = torch.randn(2, 16, 4, 4)
    assert torch.equal(second(wide), wide)  # negative values too: no ReLU on the way


@pytest.mark.parametrize("defense", ["clp", "bnp", "anp", "fine_pruning"])
@pytest.mark.parametrize("model", [PreActResNet18(width=8), VGG16BN(width=8)], ids=lambda m: m.name)
def test_defenses_that_go_by_channels_work_on_it(model, defense):
    plugin = Registry().create("defense", defense, {})
    assert plugin.unsupported(Case(MNIST5k(), model, NoAttack(), plugin)) is None
