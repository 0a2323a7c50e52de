"""Numbers that are none: a defense that meets them fails and names them; it never rests a decision on them."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from planted import FOUR_CLASSES, context, normalised_victim
from torch import Tensor, nn

from bench.attacks.none import NoAttack
from bench.datasets.digits import Digits
from bench.defenses import _channels
from bench.defenses._adversarial_distance import adversarial_distances
from bench.defenses._bna_alignment import Alignment
from bench.defenses._detection import clean_threshold
from bench.defenses._inversion import TRIGGER_MODELS, invert
from bench.defenses._quadratic_program import smallest_shifts
from bench.defenses._unlearning import unlearned
from bench.defenses.fine_pruning import active_channels
from bench.defenses.ibd_psc import IBDPSC
from bench.plan.registry import Registry
from bench.plugin import Case, Known, Runtime
from bench.plugin.base import Plugin

BLIND = {"none", "clp", "shrinkpad", "retrain", "true_tac"}  # look at no image, or need an attack
FEW = {"epochs": 2, "steps": 3, "control_epochs": 1, "rounds": 1, "forget_epochs": 2, "recover_epochs": 2}
FEW |= {"align_steps": 2, "refine_steps": 3}


def few(defense: Plugin) -> Plugin:
    """``defense`` with few steps."""
    return defense.model_copy(update={name: value for name, value in FEW.items() if name in type(defense).model_fields})


def looking() -> list[str]:
    return [name for name in Registry().names("defense") if name not in BLIND]


def sick(where: str, healthy: int = 0) -> nn.Module:
    """A victim, all of whose weights are finite, that gives NaN at ``where`` after ``healthy`` passes."""
    victim, passes = normalised_victim(), iter(range(10**9))
    module = victim.body if where == "activations" else victim.head
    module.register_forward_hook(lambda *given: given[2] * (1 if next(passes) < healthy else math.nan))
    return victim


def run(defense: Plugin, model: nn.Module) -> object:
    images = FOUR_CLASSES.draw(120, seed=1)
    suspects = FOUR_CLASSES.triggered(FOUR_CLASSES.draw(20, seed=3).floats)
    known = Known(images, suspects, FOUR_CLASSES.draw(20, seed=3).floats)
    if isinstance(defense, Runtime):
        return defense.guard(model, known, context())(images.floats)
    return defense.repair(model, known, context())


@pytest.mark.parametrize("name", looking())
def test_every_defense_that_looks_at_images_fails_on_activations_that_are_nan(name: str) -> None:
    defense = few(Registry().create("defense", name, {}))
    if defense.unsupported(Case(Digits(), normalised_victim(), NoAttack(), defense)):
        pytest.skip("not applicable")
    run(defense, normalised_victim())
    with pytest.raises(ValueError, match="finite|infs or NaNs"):
        run(defense, sick("activations"))
