"""No attack: nothing is triggered, poisoned or relabelled."""

import torch

from bench.attacks.none import NoAttack


def test_images_and_labels_stay_as_they_are(images, attack_context):
    attack = NoAttack(target_class=3)
    assert torch.equal(attack.apply(images.floats, attack_context), images.floats)
    assert torch.equal(attack.target(images.labels), images.labels)
    poisoned = attack.poison(images, attack_context)
    assert torch.equal(poisoned.data.images, images.images)
    assert not bool((poisoned.poisoned | poisoned.cover).any())
