"""A network that does not fit the images is refused in one line."""

import re

import pytest
import torch
from small_models import SPEC, images_of, refusal

from bench.models.convnext_tiny import ConvNeXtTiny
from bench.models.timm import Timm
from bench.models.vgg16_bn import VGG16BN
from bench.models.vit_small import ViTSmall
from bench.models.vit_tiny import ViTTiny


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


def test_trying_a_network_leaves_the_random_state_alone():
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    Timm(architecture="mobilenetv3_small_050").resolve(SPEC)
    assert torch.rand(1) == expected
