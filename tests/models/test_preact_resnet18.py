"""PreActResNet-18: what its blocks compute."""

import torch
from small_models import network
from torch import nn

from bench.models.preact_resnet18 import PreActResNet18
from bench.toolbox.networks import stages


@torch.no_grad()
def test_a_pre_activation_block_adds_to_its_input():
    net = network(PreActResNet18(width=8)).eval()
    first, second = stages(net)["layer2"]
    for block in (first, second):
        nn.init.zeros_(block.conv2.weight)
    x = torch.randn(2, 8, 8, 8)
    torch.testing.assert_close(first(x), first.shortcut(first.norm1(x).relu()))  # activated before it is projected
    wide = torch.randn(2, 16, 4, 4)
    assert torch.equal(second(wide), wide)  # negative values too: no ReLU on the way
