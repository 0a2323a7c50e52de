"""BadNets: where the patch lies."""

import pytest
import torch
from attack_helpers import Image, assert_equals_reference

from bench.attacks.badnets import BadNets


def white_patch(image: Image, context) -> Image:
    changed = image.copy()
    _, height, width = image.shape
    for row in range(height - 3, height):
        for column in range(width - 3, width):
            changed[:, row, column] = 1.0
    return changed


def test_the_trigger_equals_a_patch_set_pixel_by_pixel(images, attack_context):
    assert_equals_reference(BadNets(), white_patch, images, attack_context)


@pytest.mark.parametrize(
    ("corner", "rows", "columns"),
    [
        ("bottom-right", (12, 13), (12, 13)),
        ("bottom-left", (12, 13), (2, 3)),
        ("top-right", (2, 3), (12, 13)),
        ("top-left", (2, 3), (2, 3)),
    ],
)
def test_the_patch_lies_in_its_corner_at_its_margin_with_its_intensity(corner, rows, columns, attack_context):
    attack = BadNets(corner=corner, size=2, margin=2, value=0.25)
    triggered = attack.apply(torch.ones(1, 3, 16, 16), attack_context)
    expected = torch.ones(1, 3, 16, 16)
    for row in rows:
        for column in columns:
            expected[..., row, column] = 0.25
    assert torch.equal(triggered, expected)


def test_nine_targets_have_patches_that_do_not_overlap(spec, attack_context):
    attack = BadNets(size=2)
    black = torch.zeros(1, 3, 16, 16)
    patches = [attack.for_target(index).apply(black, attack_context) for index in range(9)]
    assert [int(patch[0, 0].sum()) for patch in patches] == [4] * 9
    assert torch.stack(patches).sum(0).max() == 1
