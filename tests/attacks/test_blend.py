"""Blend: which picture is blended in, and how strongly."""

import pytest
import torch
from attack_helpers import assert_equals_reference, blend_picture, with_learned

from bench.attacks.blend import Blend


@pytest.mark.parametrize("picture", ["flower", "china", "noise"])
def test_the_trigger_equals_a_weighted_sum(picture, images, attack_context):
    attack = Blend(picture=picture)
    context = with_learned(attack, images, attack_context)
    assert_equals_reference(attack, blend_picture, images, context, tolerance=2e-5)


def test_targets_beyond_the_photographs_get_noise_of_their_own(images, attack_context):
    parts = [Blend().for_target(index) for index in range(4)]
    assert [part.picture for part in parts] == ["flower", "china", "noise", "noise"]
    pictures = [with_learned(part, images, attack_context).learned["picture"] for part in parts]
    assert not torch.equal(pictures[2], pictures[3])
