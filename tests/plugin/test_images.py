"""Batches of images and the schedule that goes by them."""

import pytest
import torch
from torch import nn

from bench.plugin import LabelledImages, batches, steps_per_epoch
from bench.toolbox.training import Recipe, train

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("count", "size"), [(201, 20), (65, 64), (64, 64), (40, 20), (19, 20), (2, 20), (1, 20), (5, 1)]
)
def test_an_epoch_has_as_many_steps_as_there_are_batches(count, size):
    made = list(batches(count, size, torch.Generator().manual_seed(0), CPU))
    assert steps_per_epoch(count, size) == len(made)
    assert all(len(batch) > 1 for batch in made)


def test_no_image_comes_twice_and_only_a_single_last_one_is_left_out():
    seen = torch.cat(list(batches(201, 20, torch.Generator().manual_seed(0), CPU)))
    assert len(seen) == len(seen.unique()) == 200


@pytest.mark.parametrize("count", [201, 65])
def test_the_schedule_reaches_its_end_although_a_last_batch_of_one_is_left_out(count):
    """The share of the training that is done, which objectives and progress go by, ends at 1."""
    data = LabelledImages(torch.zeros(count, 1, 4, 4, dtype=torch.uint8), torch.arange(count) % 2)
    recipe = Recipe(epochs=2, batch_size=20 if count == 201 else 64, learning_rate=0.1, schedule="cosine")
    shares: list[float] = []
    network = nn.Sequential(nn.Flatten(), nn.Linear(16, 2))
    train(network, data, recipe, torch.Generator().manual_seed(0), progress=shares.append)
    assert shares[-1] == 1
