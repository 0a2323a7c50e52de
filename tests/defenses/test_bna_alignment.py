"""BNA's alignment: soft histograms, the layer that clips, and what the alignment learns."""

import copy
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from planted import SIX_COLUMNS, column_victim
from timm.layers.norm_act import BatchNormAct2d
from torch import nn

from bench.defenses._bna_alignment import (
    Adjusted,
    Alignment,
    Divergence,
    divergence,
    soft_histogram,
    with_aligned_norms,
)


def test_a_sharp_soft_histogram_is_a_histogram() -> None:
    values = torch.randn(3, 500, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    soft = soft_histogram(values, -2.0, 40, 0.1, 1e7)
    for row, expected in zip(soft.numpy(), values.numpy(), strict=True):
        edges = np.concatenate(([-np.inf], -2 + 0.1 * np.arange(41), [np.inf]))
        np.testing.assert_allclose(row, np.histogram(expected, edges)[0] / 500, atol=1e-6)


def test_the_soft_histogram_is_the_papers_sum_over_all_edges() -> None:
    values = torch.randn(2, 300, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    edges = -2 + 0.1 * torch.arange(41, dtype=torch.float64)
    above = (150 * (values[..., None] - edges)).sigmoid()
    expected = (above[..., :-1] - above[..., 1:]).mean(1)
    assert torch.allclose(soft_histogram(values, -2.0, 40, 0.1, 150)[:, 1:-1], expected, atol=6e-4)


def test_the_total_variation_is_half_of_the_absolute_difference() -> None:
    first, second = torch.tensor([[0.5, 0.3, 0.2]]), torch.tensor([[0.2, 0.4, 0.4]])
    assert divergence(first, second, "tv").item() == pytest.approx(0.3)


@pytest.mark.parametrize("fused", [False, True])
def test_an_aligned_norm_clips_the_normalised_activations(fused: bool) -> None:
    torch.manual_seed(0)
    layer = BatchNormAct2d(3, act_layer=nn.LeakyReLU) if fused else nn.BatchNorm2d(3)
    nn.init.normal_(layer.weight)
    nn.init.normal_(layer.bias)
    layer.running_mean.normal_()
    layer.running_var.uniform_(0.5, 2)
    images = 3 * torch.randn(4, 3, 5, 5)
    network, layers = with_aligned_norms(nn.Sequential(layer).eval(), 1.5)
    layers["0"].upper.data += 0.2
    z = (images - layer.running_mean.view(3, 1, 1)) / (layer.running_var.view(3, 1, 1) + layer.eps).sqrt()
    expected = z.clamp(-1.5, 1.7) * layer.weight.view(3, 1, 1) + layer.bias.view(3, 1, 1)
    assert torch.allclose(network(images), F.leaky_relu(expected) if fused else expected, atol=1e-5)
    wide, _ = with_aligned_norms(nn.Sequential(layer).eval(), math.inf)
    assert torch.allclose(wide(images), layer(images), atol=1e-5)


@pytest.mark.parametrize("joint", [False, True])
def test_alignment_removes_what_the_backdoor_channel_adds(joint: bool) -> None:
    network, data = column_victim(), SIX_COLUMNS.draw(60, 3)
    clean, triggered = data.floats, SIX_COLUMNS.triggered(data.floats)
    assert (network(triggered).argmax(1) == 2).all()
    alignment = Alignment("tv", joint, 0.3, 50, 3, 0.05, 100, 48, 2048)
    before = copy.deepcopy(network.state_dict())
    aligned = alignment.align(network, clean, triggered, torch.Generator().manual_seed(0))
    assert (aligned.network(triggered).argmax(1) == data.labels).float().mean() > 0.95
    assert (aligned.network(clean).argmax(1) == data.labels).float().mean() > 0.95
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    inner = dict(aligned.network.named_parameters())
    assert torch.equal(inner["head.weight"], network.head.weight)
    assert torch.equal(inner["body.1.norm.weight"], network.body[1].weight)


@pytest.mark.parametrize("kind", ["tv", "js", "kl"])
def test_alignment_learns_the_shift_between_the_distributions(kind: Divergence) -> None:
    generator = torch.Generator().manual_seed(0)
    clean = torch.randn(128, 2, 4, 4, generator=generator)
    network = nn.Sequential(nn.BatchNorm2d(2)).eval()
    alignment = Alignment(kind, True, 0.3, 50, 3, 0.02, 100, 128, 2048)
    aligned = alignment.align(network, clean, clean + 0.6, generator)
    assert aligned.network.get_parameter("0.shift").numpy() == pytest.approx([0.6, 0.6], abs=0.2)
    assert aligned.divergences[-1] < aligned.divergences[0] / 2


@pytest.mark.parametrize("adjusts", ["both", "bounds", "moments"])
def test_an_ablation_learns_its_part_and_leaves_the_other(adjusts: Adjusted) -> None:
    """Without bounds nothing is clipped: activations far beyond the clean range pass in full."""
    generator = torch.Generator().manual_seed(0)
    clean = torch.randn(128, 2, 4, 4, generator=generator)
    network = nn.Sequential(nn.BatchNorm2d(2)).eval()
    alignment = Alignment("tv", True, 0.3, 50, 3, 0.02, 20, 128, 2048, adjusts)
    aligned = alignment.align(network, clean, clean + 0.6, generator).network
    moved = {name: bool(aligned.get_parameter(f"0.{name}").any()) for name in ("shift", "stretch")}
    assert set(moved.values()) == {adjusts != "bounds"}
    far = 1000 * torch.ones(1, 2, 1, 1)
    assert bool((aligned(far) > 100).all()) == (adjusts == "moments")
