"""The built-in architectures in slim forms, and images for them."""

import pytest
import torch
from torch import nn

from bench.errors import RequestError
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
from bench.plugin.model import Model
from bench.plugin.values import ImageSpec


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


def refusal(model: Model, spec: ImageSpec) -> str:
    with pytest.raises(RequestError) as caught:
        model.resolve(spec)
    assert "\n" not in str(caught.value)
    return str(caught.value)
