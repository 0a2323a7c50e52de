"""CLP: which convolutions feed a normalisation, and the bounds of its channels."""

import numpy as np
import pytest
import timm
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.datasets.digits import Digits
from bench.defenses._channels import scaled_layers
from bench.defenses._clp_convolutions import feeding_convolutions
from bench.defenses.clp import CLP, channel_bounds
from bench.plugin import RequestError


class Block(nn.Module):
    """A pre-activation block, declared in an order in which it does not run."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.second = nn.Conv2d(width, width, 1)
        self.inner = nn.BatchNorm2d(width)
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.outer = nn.BatchNorm2d(width)

    def forward(self, values: Tensor) -> Tensor:
        inside = self.first(F.relu(self.outer(values)))
        out: Tensor = self.second(F.relu(self.inner(inside))) + values
        return out


def test_convolutions_are_found_by_what_runs() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), Block(4), Block(4), nn.BatchNorm2d(4), nn.Flatten(), nn.LazyLinear(2))
    network(torch.rand(2, 3, 6, 6))
    feeding = feeding_convolutions(network.eval(), torch.rand(1, 3, 6, 6))
    names = {module: name for name, module in network.named_modules()}
    assert {name: {names[conv] for conv in convolutions} for name, convolutions in feeding.items()} == {
        "1.outer": {"0"},
        "1.inner": {"1.first"},
        "2.outer": {"0", "1.second"},
        "2.inner": {"2.first"},
        "3": {"0", "1.second", "2.second"},
    }


@pytest.mark.parametrize("name", ["resnet18", "mobilenetv2_050", "resnetv2_50"])
def test_convolutions_of_well_known_networks(name: str) -> None:
    network = timm.create_model(name, num_classes=3).eval().requires_grad_(False)
    feeding = feeding_convolutions(network, torch.zeros(1, 3, 32, 32))
    behind_pooling = {"stages.0.blocks.0.norm1"} if name == "resnetv2_50" else set()
    assert set(feeding) == set(scaled_layers(network)) - behind_pooling
    names = {module: name for name, module in network.named_modules()}
    for norm, convolutions in feeding.items():
        by_name = {names[conv] for conv in convolutions}
        assert {conv.out_channels for conv in convolutions} == {len(network.get_parameter(f"{norm}.weight"))}
        if name == "resnet18":  # here the names of the layers correspond
            assert by_name == {norm.replace("bn", "conv").replace("downsample.1", "downsample.0")}
        elif name == "resnetv2_50" and norm[-5:] in ("norm2", "norm3"):  # within a pre-activation block
            assert by_name == {norm.replace("norm2", "conv1").replace("norm3", "conv2")}
        elif name == "resnetv2_50":  # all that the skip connections have added up so far
            assert len(by_name) == 1 or all(conv.endswith(("conv3", "downsample.conv")) for conv in by_name)


def test_a_layer_behind_a_concatenation_has_no_convolution_of_the_same_channels() -> None:
    network = timm.create_model("densenet121", num_classes=3).eval()
    feeding = feeding_convolutions(network, torch.zeros(1, 3, 32, 32))
    assert "features.denseblock1.denselayer2.norm2" in feeding
    assert "features.denseblock1.denselayer2.norm1" not in feeding


def test_a_channels_bound_is_the_largest_singular_value_times_gain_over_deviation() -> None:
    one, other, norm = nn.Conv2d(3, 5, 3), nn.Conv2d(2, 5, 1), nn.BatchNorm2d(5)
    with torch.no_grad():
        norm.weight.copy_(torch.tensor([1.0, -2, 0, 3, 0.5]))
    norm.running_var = torch.rand(5) + 0.5
    singular = [np.linalg.svd(conv.weight.detach().flatten(2).numpy(), compute_uv=False)[:, 0] for conv in (one, other)]
    factor = np.abs(norm.weight.detach().numpy()) / np.sqrt(norm.running_var.numpy() + norm.eps)
    np.testing.assert_allclose(channel_bounds(norm, [one]).numpy(), singular[0] * factor, rtol=1e-5)
    np.testing.assert_allclose(channel_bounds(norm, [one, other]), np.hypot(*singular) * factor, rtol=1e-5)


def test_the_shape_of_the_images_comes_from_the_data_set() -> None:
    assert CLP().resolve(Digits().spec).shape == (1, 8, 8)
    with pytest.raises(RequestError, match="shape"):
        CLP(shape=(3, 8, 8)).resolve(Digits().spec)
