"""Convolutions of few channels do not come to where oneDNN writes beyond its memory."""

from typing import Any

import pytest
import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from bench.models._sampled import SampledConvolution, sample_first
from bench.models.preact_resnet18 import PreActResNet18
from bench.models.resnet18 import ResNet18
from bench.models.resnet50 import ResNet50
from bench.plugin import ImageSpec

SPEC = ImageSpec(3, 32, 32, 10, mean=(0.5, 0.5, 0.5), std=(0.2, 0.2, 0.2))


class Strides(TorchFunctionMode):
    """Keeps the strides of all 1x1 convolutions of fewer than sixteen channels."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Any] = []

    def __torch_function__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        if func is torch.conv2d and args[1].shape[1] < 16 and args[1].shape[-1] == 1:
            self.seen.append(args[3] if len(args) > 3 else (kwargs or {}).get("stride", 1))
        return func(*args, **kwargs or {})


@pytest.mark.parametrize("model", [ResNet18(width=4), ResNet50(width=4), PreActResNet18(width=4)])
def test_no_strided_1x1_convolution_of_few_channels_is_computed(model: Any) -> None:
    net = model.build(SPEC).eval()
    with Strides() as strides:
        net(torch.rand(2, 3, 32, 32))
    assert strides.seen
    assert all(stride in (1, (1, 1)) for stride in strides.seen)


@pytest.mark.parametrize(("channels", "groups"), [(1, 1), (3, 1), (4, 2), (4, 1)])
def test_output_and_gradients_are_those_of_the_strided_convolution(channels: int, groups: int) -> None:
    torch.manual_seed(0)
    exact = nn.Conv2d(channels, 8, 1, stride=2, groups=groups).double()
    net = nn.Sequential(nn.Conv2d(channels, 8, 1, stride=2, groups=groups))
    net.load_state_dict({f"0.{name}": value.float() for name, value in exact.state_dict().items()})
    sample_first(net)
    assert isinstance(net[0], SampledConvolution)
    net.to(memory_format=torch.channels_last)
    images = torch.randn(8, channels, 9, 8, dtype=torch.float64)
    given = images.float().contiguous(memory_format=torch.channels_last)
    images.requires_grad_()
    given.requires_grad_()
    for network, shown in ((exact, images), (net, given)):
        network(shown).square().sum().backward()
    torch.testing.assert_close(net(given).double(), exact(images), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(net[0].weight.grad.double(), exact.weight.grad, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(given.grad.double(), images.grad, rtol=1e-4, atol=1e-4)


def test_other_convolutions_stay_as_they_are() -> None:
    net = nn.Sequential(
        nn.Conv2d(16, 8, 1, 2), nn.Conv2d(3, 8, 1), nn.Conv2d(3, 8, 3, 2), nn.Conv2d(3, 8, 1, 2, padding=1)
    )
    sample_first(net)
    assert {type(module) for module in net} == {nn.Conv2d}
