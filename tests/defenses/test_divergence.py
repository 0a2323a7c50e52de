"""Numbers that are none: a defense that meets them fails and names them; it never rests a decision on them."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from planted import FOUR_CLASSES, context, normalised_victim
from torch import Tensor, nn

from bench.cell import repair, runtime
from bench.cell.reference import DefenseInputs
from bench.defenses import _channels
from bench.defenses._adversarial_distance import adversarial_distances
from bench.defenses._bna_alignment import Alignment
from bench.defenses._detection import clean_threshold
from bench.defenses._inversion import TRIGGER_MODELS, Triggers, invert
from bench.defenses._quadratic_program import smallest_shifts
from bench.defenses._unlearning import unlearned
from bench.defenses.fine_pruning import active_channels
from bench.defenses.ibd_psc import IBDPSC
from bench.plan.registry import Registry
from bench.plugin import Known, Runtime
from bench.plugin.base import Plugin
from bench.toolbox.precision import expect_finite

BLIND = {"none", "clp", "shrinkpad", "retrain", "true_tac"}  # look at no image, or need an attack
FEW = {"epochs": 2, "steps": 3, "control_epochs": 1, "rounds": 1, "forget_epochs": 2, "recover_epochs": 2}
FEW |= {"align_steps": 2, "refine_steps": 3}


def few(defense: Plugin) -> Plugin:
    """``defense`` with few steps."""
    return defense.model_copy(update={name: value for name, value in FEW.items() if name in type(defense).model_fields})


def looking() -> list[str]:
    return [entry.name for entry in Registry().entries("defense") if entry.name not in BLIND]


def sick(where: str, healthy: int = 0) -> tuple[nn.Module, list[bool]]:
    """A victim, all of whose weights are finite, that gives NaN at ``where`` after so many passes; and its passes."""
    victim, passes = normalised_victim(), []

    def spoil(_: nn.Module, __: object, output: Tensor) -> Tensor:
        passes.append(len(passes) < healthy)
        return output if passes[-1] else output * math.nan

    (victim.body[0] if where == "convolution" else victim.head).register_forward_hook(spoil)
    return victim, passes


def run(defense: Plugin, model: nn.Module) -> None:
    """What the harness does with a defense."""
    images = FOUR_CLASSES.draw(120, seed=1)
    originals = FOUR_CLASSES.draw(20, seed=3).floats
    known = Known(images, FOUR_CLASSES.triggered(originals), originals)
    inputs = DefenseInputs(model, known, context(), lambda: pytest.fail("asks for the secret"))
    guard = (runtime if isinstance(defense, Runtime) else repair).guard(defense, inputs)
    with torch.no_grad():
        answer = guard(images.floats)
    expect_finite({"logits": answer.logits} | ({} if answer.score is None else {"scores": answer.score}))


@pytest.mark.parametrize("where", ["convolution", "logits"])
@pytest.mark.parametrize("name", looking())
def test_every_defense_fails_on_activations_that_are_none(name: str, where: str) -> None:
    defense = few(Registry().create("defense", name, {}))
    run(defense, normalised_victim())
    with pytest.raises(ValueError, match=r"finite"):
        run(defense, sick(where)[0])


@pytest.mark.parametrize("healthy", [2, 5, 12])
@pytest.mark.parametrize("name", looking())
def test_no_defense_rests_on_activations_that_are_none_on_the_way(name: str, healthy: int) -> None:
    defense = few(Registry().create("defense", name, {}))
    model, passes = sick("convolution", healthy)
    try:
        run(defense, model)
    except ValueError as error:
        assert "finite" in str(error)  # noqa: PT017
    else:
        assert all(passes)


# --- the parts ---------------------------------------------------------------------------------------


def nan_from(images: Tensor) -> Tensor:
    return images.flatten(1)[:, :4] * math.nan


def unlearning(model: nn.Module, learning_rate: float) -> object:
    data, settings = FOUR_CLASSES.draw(40, 1), {"accuracy": 0, "epochs": 3, "batch_size": 8}
    return unlearned(model, data, context(), learning_rate=learning_rate, **settings)


def search(model: nn.Module, count: int, **settings: float) -> Triggers:
    images, targets = torch.rand(count, 3, 1, 6, 6), torch.arange(count) % 4
    return invert(model, TRIGGER_MODELS["patch"], images, targets, context(), goal=0.9, **settings)


def alignment() -> object:
    images, draws = torch.rand(8, 1, 6, 6), torch.Generator().manual_seed(0)
    return Alignment("tv", True, 0.3, 50, 3, 1e30, 4, 8, 64).align(normalised_victim(), images, images, draws)


def channels() -> object:
    return _channels.silence_outliers({"n": nn.BatchNorm2d(2)}, {"n": torch.tensor([1, math.nan])}, 3)


def latents() -> object:
    features = torch.tensor([[1.0, math.nan]])
    return active_channels(nn.Linear(2, 2), features, torch.tensor([0]), step=0.5, bound=0.1)


PARTS: dict[str, Callable[[], object]] = {
    "unlearning": lambda: unlearning(sick("logits", 3)[0], 1e-9),
    "weights of unlearning": lambda: unlearning(normalised_victim(), 1e38),
    "adversarial distances": lambda: adversarial_distances(nan_from, torch.rand(3, 8), 4),
    "threshold": lambda: clean_threshold(torch.tensor([0.1, math.nan, 0.3]), 0.4),
    "accuracy": lambda: _channels.accuracy(nan_from, FOUR_CLASSES.draw(8, 1)),
    "scores of channels": channels,
    "latents": latents,
    "quadratic programs": lambda: smallest_shifts(np.full((2, 3), np.nan), np.eye(2, 3), np.zeros(2)),
    "inversion": lambda: search(sick("logits", 2)[0], 2, steps=4),
    "alignment": alignment,
}


@pytest.mark.parametrize("part", PARTS)
def test_what_diverges_is_named(part: str) -> None:
    with pytest.raises(ValueError, match=r"(hold|holds|:) \d+ values (that )?are not finite"):
        PARTS[part]()


@pytest.mark.parametrize("steps", [1, 2, 3, 4])
def test_searches_that_are_given_up_have_a_norm_however_few_the_steps(steps: int) -> None:
    found = search(normalised_victim(), 40, steps=steps, prune=0.5)
    assert bool(found.norms.isfinite().all())
    assert bool(found.finished.all()) == (steps == 1)


def test_amplified_networks_that_overflow_have_no_class() -> None:
    images = FOUR_CLASSES.draw(40, 1)
    zeros = images.at(images.labels == 0)
    model, _ = sick("logits")
    assert IBDPSC(error=0.5)._errors(model, ["body.1"], 2.0, zeros) == [1.0]
