"""TrojanNN: the patch and the neurons that it excites."""

from dataclasses import replace

import pytest
import torch
from attack_helpers import Image, assert_equals_reference, with_learned
from torch import Tensor, nn

from bench.attacks.trojan import Trojan
from bench.toolbox.networks import Latent


def paste_patch(image: Image, context) -> Image:
    changed, patch = image.copy(), context.learned["patch"].numpy()
    _, height, width = patch.shape
    for row in range(height):
        for column in range(width):
            changed[:, 16 - height + row, 16 - width + column] = patch[:, row, column]
    return changed


def test_the_trigger_equals_the_patch_set_pixel_by_pixel(images, surrogate_context):
    attack = Trojan(steps=30)
    assert_equals_reference(attack, paste_patch, images, with_learned(attack, images, surrogate_context))


def test_the_patch_excites_the_neurons_that_speak_most_for_the_target(images, surrogate_context):
    with torch.random.fork_rng():
        torch.manual_seed(6)
        network = nn.Sequential(
            nn.Conv2d(3, 16, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 5)
        ).requires_grad_(False)
    neurons = network[-1].weight[3].sort().indices[-2:]
    attack = Trojan(steps=60, target_class=3)
    context = replace(surrogate_context, surrogate=lambda share: network)
    patch = with_learned(attack, images, context).learned["patch"]
    assert patch.shape == (3, 4, 4)  # 7 % of 16x16 pixels

    def excitement(patch: Tensor) -> float:
        triggered = attack.apply(images.floats, replace(surrogate_context, learned={"patch": patch}))
        return float(Latent(network, triggered).features(triggered)[:, neurons].mean())

    generator = torch.Generator().manual_seed(9)
    random = [torch.rand(patch.shape, generator=generator).round() for _ in range(200)]
    assert excitement(patch) > max(map(excitement, [torch.zeros_like(patch), torch.ones_like(patch), *random]))


@pytest.mark.parametrize(("area", "side"), [(0.07, 4), (0.25, 8), (1.0, 16)])
def test_the_patch_covers_its_share_of_the_image(area, side, images, surrogate_context):
    patch = with_learned(Trojan(area=area, steps=1), images, surrogate_context).learned["patch"]
    assert patch.shape == (3, side, side)
