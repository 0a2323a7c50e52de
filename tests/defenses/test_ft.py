"""Plain fine-tuning, and the settings that all fine-tuning defenses share."""

import contextlib
import math

import pytest
import torch
import torch.nn.functional as F
from planted import THREE_CLASSES, awake_victim, context

import bench.toolbox.training
from bench.defenses._finetuning import usual_batch
from bench.defenses.ft import FT
from bench.plugin import Known, batches


@pytest.mark.parametrize("count", [50, 1000])
def test_a_batch_is_a_tenth_of_the_images_but_at_least_20(count: int) -> None:
    assert usual_batch(count) == {50: 20, 1000: 100}[count]


def test_fine_tuning_is_sgd_with_a_cosine_schedule(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        bench.toolbox.training, "autocast", lambda device: contextlib.nullcontext()
    )  # bf16 is too coarse
    data, epochs = THREE_CLASSES.draw(40, seed=1), 3
    repaired = FT(epochs=epochs, learning_rate=0.05).repair(awake_victim(), Known(data), context(7))
    expected, generator = awake_victim(), torch.Generator().manual_seed(7)
    momenta = [torch.zeros_like(weight) for weight in expected.parameters()]
    order = [index for _ in range(epochs) for index in batches(40, 20, generator, torch.device("cpu"))]
    for done, index in enumerate(order):
        loss = F.cross_entropy(expected(data.at(index).floats), data.labels[index])
        slopes = torch.autograd.grad(loss, list(expected.parameters()))
        rate = 0.05 * (1 + math.cos(math.pi * done / (epochs * 2))) / 2
        with torch.no_grad():
            for weight, slope, momentum in zip(expected.parameters(), slopes, momenta, strict=True):
                momentum.mul_(0.9).add_(slope + 5e-4 * weight)
                weight -= rate * momentum
    assert len(order) == epochs * 2
    for one, other in zip(repaired.parameters(), expected.parameters(), strict=True):
        torch.testing.assert_close(one, other)


def test_the_weights_are_decayed_as_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    recipes = []
    monkeypatch.setattr(
        "bench.defenses._finetuning.train", lambda model, data, recipe, *rest, **more: recipes.append(recipe)
    )
    for decay in (5e-4, 0.0):
        FT(weight_decay=decay).repair(awake_victim(), Known(THREE_CLASSES.draw(40, seed=1)), context())
    assert [recipe.weight_decay for recipe in recipes] == [5e-4, 0]
    assert not recipes[0].augment
