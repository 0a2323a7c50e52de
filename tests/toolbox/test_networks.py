"""Looking into networks of any architecture."""

import pytest
import torch
from torch import nn

from bench.models._timm import Normalised, create
from bench.models.resnet18 import ResNet18
from bench.models.resnet50 import ResNet50
from bench.plugin.values import ImageSpec
from bench.toolbox.networks import Cut, Latent, batch_norms, edited, last_linear, stages

SPEC = ImageSpec(3, 32, 32, classes=7, mean=(0.5, 0.4, 0.3), std=(0.2, 0.3, 0.4))


def network(name: str) -> nn.Module:
    torch.manual_seed(0)
    if name == "plain":
        head = nn.Sequential(nn.Linear(40, 20), nn.ReLU(), nn.Linear(20, 7))
        return nn.Sequential(nn.Flatten(), nn.Linear(3072, 40), nn.ReLU(), head).eval()
    if name.startswith("resnet"):
        return ResNet18(width=8).build(SPEC).eval() if name == "resnet18" else ResNet50(width=8).build(SPEC).eval()
    options = {"img_size": 32, "patch_size": 8} if name.startswith("vit") else {}
    return Normalised(create(name, SPEC, **options), SPEC).eval()


NAMES = ["resnet18", "resnet50", "vit_tiny_patch16_224", "mobilenetv3_small_050", "convnext_atto", "plain"]


@pytest.fixture(params=NAMES)
def net(request) -> nn.Module:
    return network(request.param)


@pytest.fixture
def batch() -> torch.Tensor:
    return torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def test_the_last_linear_layer_applied_to_the_latent_gives_the_logits(net, batch):
    latent = Latent(net, batch)
    assert latent.linear.out_features == 7
    features = latent.features(batch)
    assert features.shape == (3, latent.linear.in_features)
    torch.testing.assert_close(latent.linear(features), net(batch))


def test_a_cut_network_is_the_whole_network(net, batch):
    expected = net(batch)
    for name, module in stages(net).items():
        cut = Cut(net, module, batch)
        torch.testing.assert_close(cut.after(cut.before(batch)), expected, msg=name, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(net(batch), expected)  # and is whole again


def test_layers_before_the_cut_are_not_computed_again(batch):
    net = network("resnet18")
    cut = Cut(net, stages(net)["layer4"], batch)
    activations = cut.before(batch)
    calls = []
    hook = stages(net)["layer1"].register_forward_pre_hook(lambda module, inputs: calls.append(module.training))
    blocks = [m for m in stages(net)["layer1"].modules() if isinstance(m, nn.Conv2d)]
    inner = [conv.register_forward_hook(lambda *_: calls.append("conv")) for conv in blocks]
    cut.after(activations)
    assert "conv" not in calls
    for each in (hook, *inner):
        each.remove()


def test_an_edit_ends_with_its_block(net, batch):
    layer = last_linear(net, batch)
    before = net(batch)
    with edited(layer, lambda logits: logits + 1):
        torch.testing.assert_close(net(batch), before + 1)
    torch.testing.assert_close(net(batch), before)


def test_a_network_without_a_last_linear_layer_is_refused(batch):
    with pytest.raises(LookupError, match="linear"):
        last_linear(nn.Sequential(nn.Conv2d(3, 7, 32), nn.Flatten()), batch)


def test_a_network_normalises_its_images_itself():
    net = network("resnet18")
    black = torch.zeros(1, 3, 32, 32)
    seen = []
    net.net.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    net(black)
    torch.testing.assert_close(seen[0][0, :, 0, 0], torch.tensor([-2.5, -4 / 3, -0.75]))


@pytest.mark.parametrize(("stem", "side"), [("small", 32), ("pooled", 16), ("imagenet", 8), ("auto", 32)])
def test_the_stem_fits_small_images(stem, side):
    net = ResNet18(width=8, stem=stem).build(SPEC).eval()
    layer1 = stages(net)["layer1"]
    shapes = []
    layer1.register_forward_hook(lambda _, __, output: shapes.append(output.shape))
    net(torch.zeros(1, 3, 32, 32))
    assert shapes == [(1, 8, side, side)]


def test_width_scales_the_whole_network():
    assert last_linear(ResNet18(width=16).build(SPEC).eval(), torch.zeros(1, 3, 32, 32)).in_features == 128
    assert last_linear(ResNet50(width=16).build(SPEC).eval(), torch.zeros(1, 3, 32, 32)).in_features == 512


def test_batch_norms_are_found_with_their_activations():
    assert len(batch_norms(network("resnet18"))) == 20
    assert batch_norms(network("vit_tiny_patch16_224")) == {}
    assert len(batch_norms(network("mobilenetv3_small_050"))) > 10


def test_the_members_of_a_module_list_are_stages():
    class Listed(nn.Module):
        def __init__(self):
            super().__init__()
            self.stem, self.head = nn.Conv2d(3, 4, 3), nn.Linear(4, 7)
            self.blocks = nn.ModuleList([nn.Conv2d(4, 4, 3), nn.Conv2d(4, 4, 3)])

        def forward(self, images):
            x = self.stem(images)
            for block in self.blocks:
                x = block(x).relu()
            return self.head(x.mean((2, 3)))

    net, images = Listed().eval(), torch.rand(2, 3, 12, 12)
    assert list(stages(net)) == ["stem", "blocks.0", "blocks.1"]
    for module in stages(net).values():
        cut = Cut(net, module, images)
        torch.testing.assert_close(cut.after(cut.before(images)), net(images))
