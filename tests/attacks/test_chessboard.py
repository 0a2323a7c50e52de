"""Chessboard: the pattern that is added."""

import numpy as np
from attack_helpers import Image, assert_equals_reference

from bench.attacks.chessboard import Chessboard


def chessboard(image: Image, context) -> Image:
    changed = image.copy()
    for channel, row, column in np.ndindex(image.shape):
        changed[channel, row, column] += 2 / 255 if (row + column) % 2 == 0 else -2 / 255
    return changed.clip(0, 1)


def test_the_trigger_equals_a_chessboard_added_pixel_by_pixel(images, attack_context):
    assert_equals_reference(Chessboard(), chessboard, images, attack_context)
