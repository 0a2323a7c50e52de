"""Recipes: named sets of training hyper-parameters for victims; a request may change each of them."""

import math
from functools import cache
from typing import Any

from pydantic import ValidationError

from bench.errors import RequestError, did_you_mean, shortened
from bench.plan.identity import canonical
from bench.plan.selection import parse
from bench.plugin.parameters import explained, written
from bench.toolbox.training import Recipe

RECIPES = {
    # a slim network on a few thousand images, on a CPU
    "quick": Recipe(epochs=15, batch_size=64, learning_rate=0.05, schedule="one-cycle"),
    # the papers' setting
    "paper": Recipe(epochs=100, batch_size=128, learning_rate=0.01, schedule="cosine"),
    # in place of it at a fifth of the epochs: docs/findings/training.md compares the two
    "fast": Recipe(epochs=20, batch_size=256, learning_rate=0.4, schedule="one-cycle"),
    # whole CIFAR-10 and a slim network on CPUs: small images first; docs/findings/training.md has what was tried
    "cpu": Recipe(
        epochs=24,
        batch_size=128,
        learning_rate=0.3,
        schedule="one-cycle",
        weight_decay=2e-4,
        start_size=0.5,
        grown=0.6,
        crop=2,
    ),
    # transformers and ConvNeXt from scratch, which plain SGD hardly moves
    "adamw": Recipe(
        epochs=100, batch_size=128, learning_rate=1e-3, schedule="one-cycle", weight_decay=0.05, optimizer="adamw"
    ),
}


def chosen(text: str) -> list[str]:
    """The labels of the recipes in a selection such as ``fast,paper[epochs=10|20]``, each once.

    A label is the recipe's name with those parameters that were changed. Raises RequestError for an unknown name, an
    unknown parameter, or a value out of its bounds.
    """
    labels: dict[str, None] = {}
    for choice in parse(text):
        if choice.preset is not None:
            raise RequestError(
                f"--recipes {choice.pattern}[{choice.preset}]: a recipe has no presets; expected param=value"
            )
        names = list(RECIPES) if choice.pattern == "all" else [choice.pattern]
        for name in names:
            values = _changed(name, choice.parameters)
            differing = {key: str(value) for key, value in values if value != getattr(RECIPES[name], key)}
            labels[written(name, differing)] = None
    return list(labels)


@cache
def recipe(label: str) -> Recipe:
    """The recipe with this label, as ``chosen`` returns it."""
    [choice] = parse(label)
    return _changed(choice.pattern, choice.parameters)


@cache
def spelled(label: str) -> str:
    """The values of the recipe with this label as records have them, in JSON; none of a victim made elsewhere."""
    known = label.partition("[")[0] in RECIPES
    return canonical(recipe(label).identity) if known else "{}"


def _changed(name: str, parameters: dict[str, Any]) -> Recipe:
    """The recipe ``name`` with these parameters changed."""
    if name not in RECIPES:
        known = f"{', '.join(RECIPES)}{did_you_mean(name, RECIPES)}"
        raise RequestError(f"--recipes {shortened(name)}: expected one of {known}")
    try:
        made = Recipe.model_validate({**RECIPES[name].model_dump(), **parameters})
    except ValidationError as error:
        raise RequestError(f"--recipes {name}: {shortened(explained(error, Recipe.model_fields), 1000)}") from error
    for parameter, value in made:  # the text "inf" is a number too
        if isinstance(value, float) and not math.isfinite(value):
            raise RequestError(f"--recipes {name}: {parameter}={value}: expected a finite number")
    return made
