"""Adaptive-Blend: the whole picture at inference, other pieces of it in every training image."""

import numpy as np
import torch
from attack_helpers import assert_equals_reference, blend_picture, with_learned

from bench.attacks.adaptive_blend import AdaptiveBlend


def test_the_trigger_at_inference_equals_a_weighted_sum_with_the_whole_picture(images, attack_context):
    attack = AdaptiveBlend()
    assert_equals_reference(attack, blend_picture, images, with_learned(attack, images, attack_context))


def test_every_poisoned_or_cover_image_shows_its_own_half_of_the_pieces(images, attack_context):
    attack = AdaptiveBlend(poisoning_rate=0.2, cover_rate=0.4, train_alpha=0.4)
    context = with_learned(attack, images, attack_context)
    poisoned = attack.poison(images, context)
    touched = poisoned.poisoned | poisoned.cover
    blended = (0.6 * images.floats + 0.4 * context.learned["picture"]).mul(255).round()
    shown = []
    for index in touched.nonzero()[:, 0].tolist():
        before, after = images.images[index].float(), poisoned.data.images[index].float()
        pieces = []
        for row in range(0, 16, 4):
            for column in range(0, 16, 4):
                piece = np.s_[:, row : row + 4, column : column + 4]
                pieces.append(torch.equal(after[piece], blended[index][piece]))
                assert pieces[-1] or torch.equal(after[piece], before[piece])
        assert sum(pieces) == 8
        shown.append(tuple(pieces))
    assert len(set(shown)) > len(shown) // 2
