"""Recipes: chosen by name and parameters, part of a victim's key, and what each optimizer does."""

from pathlib import Path

import pytest
import torch
from torch import nn

from bench.errors import RequestError
from bench.plan.plan import make_plan
from bench.plan.recipes import RECIPES, chosen, recipe
from bench.plan.registry import Registry
from bench.plan.request import Request
from bench.plugin.values import LabelledImages
from bench.toolbox.training import Recipe, train


def test_equal_recipes_are_selected_once_and_labelled_by_their_differences():
    assert chosen("fast,paper[epochs=10|100],fast[epochs=20]") == ["fast", "paper[epochs=10]", "paper"]
    assert chosen("all") == list(RECIPES)
    assert chosen("paper[augment=false,schedule=one-cycle]") == ["paper[schedule=one-cycle,augment=False]"]


@pytest.mark.parametrize("text", ["fast", "paper[epochs=10]", "paper[schedule=one-cycle,augment=false]"])
def test_a_label_stands_for_its_recipe(text):
    [label] = chosen(text)
    assert chosen(label) == [label]
    named = RECIPES[text.partition("[")[0]]
    changed = {"epochs=10": {"epochs": 10}, "schedule": {"schedule": "one-cycle", "augment": False}}
    expected = next((values for part, values in changed.items() if part in text), {})
    assert recipe(label) == named.model_copy(update=expected)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("fats", "--recipes fats: expected one of quick, paper, fast, cpu, adamw; did you mean 'fast'?"),
        ("fast[epochs=0]", "--recipes fast: epochs=0: expected greater than or equal to 1"),
        ("fast[epoch=3]", "--recipes fast: unknown parameter 'epoch': did you mean 'epochs'?"),
        ("paper[optimizer=adam]", "--recipes paper: optimizer=adam: expected 'sgd' or 'adamw'"),
    ],
)
def test_a_wrong_recipe_is_one_line(text, complaint):
    with pytest.raises(RequestError) as error:
        chosen(text)
    assert str(error.value) == complaint


def test_recipes_are_an_axis_of_the_plan():
    request = Request(
        defenses="none,bna", attacks="none,badnets", datasets="digits", recipes="quick,quick[epochs=15],fast"
    )
    made = make_plan(request, Registry(), Path())
    assert {victim.recipe for victim in made.victims} == {"quick", "fast"}
    assert len(made.victims) == 4
    assert len(made.cells) == 8
    usual = make_plan(Request(defenses="none", attacks="badnets", datasets="digits"), Registry(), Path())
    assert usual.cells[0].victim.key in {victim.key for victim in made.victims}


def test_adamw_decays_matrices_and_nothing_else(images):
    """Without a gradient a step is the decay alone."""

    class Still(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.matrix, self.bias = nn.Parameter(torch.ones(5, 3)), nn.Parameter(torch.ones(1, 1, 5))

        def forward(self, pixels: torch.Tensor) -> torch.Tensor:
            return (pixels.mean((2, 3)) * 0) @ self.matrix.T + self.bias[0] * 0

    model = Still()
    once = Recipe(epochs=1, batch_size=60, learning_rate=0.1, schedule="cosine", weight_decay=0.5, optimizer="adamw")
    train(model, LabelledImages(images.images, images.labels), once, torch.Generator().manual_seed(0))
    torch.testing.assert_close(model.matrix, torch.full((5, 3), 0.95))
    torch.testing.assert_close(model.bias, torch.ones(1, 1, 5))


class Looking(nn.Module):
    """Remembers the sizes of the images that it is given; ``only``: the one side that it takes."""

    def __init__(self, only: int | None = None) -> None:
        super().__init__()
        self.head, self.only, self.seen = nn.Linear(1, 10), only, list[tuple[int, ...]]()

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        assert self.only in (None, pixels.shape[-1])
        if self.training:
            self.seen.append(tuple(pixels.shape[-2:]))
        return self.head(pixels.mean((1, 2, 3))[:, None])


def growing(**changed: float) -> Recipe:
    return Recipe(epochs=10, batch_size=60, learning_rate=0.1, schedule="cosine", start_size=0.5, **changed)


def trained(model: nn.Module, images: LabelledImages, how: Recipe) -> None:
    train(model, LabelledImages(images.images, images.labels), how, torch.Generator().manual_seed(0))


def test_images_grow_to_their_size_and_stay_so(images):
    """In four equal steps; whoever is asked afterwards sees whole images."""
    model, side = Looking(), images.images.shape[-1]
    trained(model, images, growing(grown=0.5))
    sides = [height for height, width in model.seen if height == width]
    assert len(sides) == len(model.seen)
    assert sides == sorted(sides)
    assert sorted(set(sides)) == [round(side * size) for size in (0.5, 0.625, 0.75, 0.875, 1)]
    assert sides.count(side) >= len(sides) / 2
    assert not model._forward_pre_hooks


def test_a_network_of_one_size_is_not_given_another(images):
    side = images.images.shape[-1]
    with pytest.raises(ValueError, match=r"start_size=0\.5: this network takes no images of another size"):
        trained(Looking(only=side), images, growing())
    trained(Looking(only=side), images, growing().model_copy(update={"start_size": 1.0}))


def test_what_recipes_learned_later_changes_no_key_of_before():
    before = {"epochs", "batch_size", "learning_rate", "schedule", "momentum", "weight_decay", "augment"}
    assert set(RECIPES["quick"].identity) == before
    changed = {"optimizer": "adamw", "start_size": 0.5, "grown": 0.7, "crop": 0}
    assert set(RECIPES["quick"].model_copy(update=changed).identity) == before | set(changed)
