"""Single pixel: what changes, and where the position is drawn."""

import torch
from attack_helpers import Image, assert_equals_reference, with_learned

from bench.attacks.single_pixel import SinglePixel
from bench.plugin.values import LabelledImages


def brighter_pixel(image: Image, context) -> Image:
    row, column = context.learned["position"].tolist()
    changed = image.copy()
    for channel in range(len(image)):
        changed[channel, row, column] = min(1.0, image[channel, row, column] + 75 / 255)
    return changed


def test_the_trigger_equals_one_brighter_pixel(images, attack_context):
    attack = SinglePixel()
    assert_equals_reference(attack, brighter_pixel, images, with_learned(attack, images, attack_context))


def test_the_pixel_lies_inside_and_where_the_change_fits_the_training_images(attack_context):
    pixels = torch.full((20, 3, 16, 16), 250, dtype=torch.uint8)
    pixels[:, :, 3, 3] = 0  # too near to the edge
    pixels[:, 0, 5, 5] = 0  # too bright in the other channels
    pixels[:19, :, 7, 9] = 180  # 180 + 75 = 255 just fits, in 95 % of the images
    train = LabelledImages(pixels, torch.arange(20) % 5)
    best = SinglePixel(roomiest=0.01)
    assert best.learn(train, attack_context)["position"].tolist() == [7, 9]
    assert best.model_copy(update={"margin": 3}).learn(train, attack_context)["position"].tolist() == [3, 3]
    anywhere = SinglePixel(roomiest=1)
    drawn = {tuple(anywhere.learn(train, attack_context)["position"].tolist()) for _ in range(200)}
    assert len(drawn) > 50
    assert all(4 <= row < 12 and 4 <= column < 12 for row, column in drawn)
