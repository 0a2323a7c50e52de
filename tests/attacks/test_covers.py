"""Cover images: how many there are, and which other image goes with each."""

import pytest
import torch

from bench.attacks._covers import poison_with_covers
from bench.attacks.badnets import BadNets


@pytest.mark.parametrize(("wanted", "expected"), [(0, 0), (5, 5), (30, 30), (54, 54), (60, 54)])
def test_there_are_at_most_as_many_covers_as_images_left_and_others_are_not_the_covers(
    wanted, expected, images, attack_context
):
    pairs = []

    def cover(covered, others):
        pairs.extend(zip(covered, others.floats, strict=True))
        return 1 - covered

    poisoned = poison_with_covers(
        BadNets(poisoning_rate=0.1), images, attack_context, covers=wanted, trigger=torch.zeros_like, cover=cover
    )
    assert int(poisoned.poisoned.sum()) == 6
    assert int(poisoned.cover.sum()) == len(pairs) == expected
    assert not bool((poisoned.poisoned & poisoned.cover).any())
    assert not bool(poisoned.data.images[poisoned.poisoned].any())
    assert torch.equal(poisoned.data.images[poisoned.cover], 255 - images.images[poisoned.cover])
    assert not any(torch.equal(covered, other) for covered, other in pairs)
