"""Small networks for the attacks: a clean surrogate to search on, and a classifier to train."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from bench.plugin.values import AttackContext


@pytest.fixture(scope="session")
def surrogate() -> nn.Module:
    """A small network that responds to much in an image: three channels of 16x16 to five classes."""
    with torch.random.fork_rng():
        torch.manual_seed(5)
        network = nn.Sequential(
            nn.Conv2d(3, 16, 5, stride=2), nn.ReLU(), nn.AdaptiveAvgPool2d(3), nn.Flatten(), nn.Linear(144, 5)
        )
    network[-1].weight.data.mul_(5)
    return network.eval().requires_grad_(False)


@pytest.fixture
def surrogate_context(attack_context: AttackContext, surrogate: nn.Module) -> AttackContext:
    """A context with that surrogate, as before the victim's training."""
    return replace(attack_context, surrogate=lambda share: surrogate)


@pytest.fixture
def classifier() -> nn.Module:
    """A small untrained network with batch normalisation, in training mode."""
    with torch.random.fork_rng():
        torch.manual_seed(4)
        return nn.Sequential(
            nn.Conv2d(3, 8, 3, stride=2), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(3), nn.Flatten(),
            nn.Linear(72, 5),
        )  # fmt: skip
