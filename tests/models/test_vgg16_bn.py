"""VGG-16 against torchvision's."""

import torch
from small_models import SPEC, pictures
from torch import nn
from torchvision.models import vgg

from bench.models import vgg16_bn
from bench.models.vgg16_bn import VGG16BN
from bench.toolbox.networks import Latent


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
