"""Stems: small images keep their resolution for longer."""

import pytest
import torch
from small_models import images_of, network, pictures
from torch import nn

from bench.models._stem import keep_resolution
from bench.models.convnext_tiny import ConvNeXtTiny
from bench.models.efficientnet_b0 import EfficientNetB0
from bench.models.mobilenet_v3 import MobileNetV3
from bench.models.preact_resnet18 import PreActResNet18
from bench.models.timm import Timm
from bench.models.vgg16_bn import VGG16BN
from bench.plugin.model import Model
from bench.plugin.values import ImageSpec
from bench.toolbox.networks import stages


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
    full, reduced = (network(MobileNetV3(stem=stem)).state_dict() for stem in ("small", "imagenet"))
    assert all(torch.equal(value, reduced[name]) for name, value in full.items())


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
