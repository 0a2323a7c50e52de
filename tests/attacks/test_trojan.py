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


def excited(network: nn.Module, context, images, **parameters: object) -> tuple[Tensor, Tensor]:
    """The latent (16,) of a black image with the patch that an attack on ``network`` learns, and the patch."""
    attack = Trojan(**{"steps": 60, "target_class": 3, "neurons": 1, **parameters})
    patch = with_learned(attack, images, replace(context, surrogate=lambda share: network)).learned["patch"]
    black = attack.apply(torch.zeros(1, 3, 16, 16), replace(context, learned={"patch": patch}))
    return Latent(network, black).features(black)[0], patch


def speaking_network() -> nn.Sequential:
    """Two latents, of red and of blue pixels: red speaks for the target, blue louder and for another class."""
    network = nn.Sequential(nn.Conv2d(3, 2, 1, bias=False), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 5))
    with torch.no_grad():
        network[0].weight[:, :, 0, 0] = torch.tensor([[1.0, 0, 0], [0, 0, 1.0]])
        network[3].weight.zero_()
        network[3].weight[3, 0], network[3].weight[1, 1] = 2, -5
    return network.requires_grad_(False)


def test_the_neurons_are_those_of_the_target_or_the_strongest_of_all(images, surrogate_context):
    ours, _ = excited(speaking_network(), surrogate_context, images)
    strongest, _ = excited(speaking_network(), surrogate_context, images, rule="strongest")
    assert ours[0] > strongest[0]
    assert strongest[1] > ours[1]


def test_on_an_empty_canvas_the_training_images_do_not_matter(images, surrogate_context, surrogate):
    other = replace(images, images=255 - images.images)
    patches = {
        canvas: [
            excited(
                surrogate,
                replace(surrogate_context, generator=torch.Generator().manual_seed(2)),
                some,
                canvas=canvas,
                neurons=144,
            )[1]
            for some in (images, other)
        ]
        for canvas in ("images", "empty")
    }
    assert torch.equal(*patches["empty"])
    assert not torch.equal(*patches["images"])
