"""Properties that every repair must have, on the planted victim and on other architectures."""

import copy

import pytest
import torch
from planted import FOUR_CLASSES, THREE_CLASSES, accuracy, awake_victim, context, normalised_victim, rising
from small_networks import TwoStages, tiny_vit

from bench.attacks.none import NoAttack
from bench.datasets.digits import Digits
from bench.defenses.anp import ANP
from bench.defenses.bnp import BNP
from bench.defenses.clp import CLP
from bench.defenses.fst import FST
from bench.defenses.ft import FT
from bench.defenses.ft_sam import FTSAM
from bench.defenses.i_bau import IBAU
from bench.defenses.nad import NAD
from bench.defenses.nc import NeuralCleanse
from bench.defenses.npd import NPD
from bench.defenses.rnp import RNP
from bench.defenses.sau import SAU
from bench.defenses.tsbd import TSBD
from bench.models.resnet18 import ResNet18
from bench.plugin import Case, ImageSpec, Known, Repair

FINE_TUNING: list[Repair] = [  # few steps
    FT(epochs=2),
    FTSAM(epochs=2),
    NAD(epochs=1, teacher_epochs=1),
    FST(epochs=2),
    IBAU(rounds=1, inner_steps=3, learning_rate=1e-3),
    SAU(rounds=1, learning_rate=1e-3),
]
PRUNING: list[Repair] = [
    NeuralCleanse(epochs=30),
    ANP(epochs=20),
    CLP(shape=FOUR_CLASSES.shape),
    RNP(forget_accuracy=0.3),
    BNP(),
    NPD(radius=0.7),  # below the contrast of a class, 0.8: more turns any image into another class's
    TSBD(),
]
MASKED = [defense for defense in PRUNING if defense.name in ("anp", "clp", "rnp", "bnp")]


def by_name(defense: Repair) -> str:
    return defense.name


@pytest.mark.parametrize("defense", FINE_TUNING, ids=by_name)
@pytest.mark.parametrize("architecture", ["conv", "vit"])
def test_a_seed_gives_one_network_which_is_left_in_eval_mode_without_hooks(defense: Repair, architecture: str) -> None:
    data, spec = THREE_CLASSES.draw(30, seed=1), ImageSpec(1, 6, 6, classes=3, mean=(0.5,), std=(0.25,))
    victim = tiny_vit(spec, patch=3) if architecture == "vit" else TwoStages()
    untouched = torch.get_rng_state()
    first, second = (defense.repair(copy.deepcopy(victim), Known(data), context(4)) for _ in range(2))
    assert torch.equal(torch.get_rng_state(), untouched)
    assert not first.training
    assert all(weight.requires_grad for weight in first.parameters())
    assert bool(first(data.floats).isfinite().all())
    assert any(not torch.equal(one, other) for one, other in zip(first.parameters(), victim.parameters(), strict=True))
    for one, other in zip(first.state_dict().values(), second.state_dict().values(), strict=True):
        assert torch.equal(one, other)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in first.modules())


@pytest.mark.parametrize(
    "defense",
    [
        FST(epochs=20, learning_rate=0.1),
        IBAU(rounds=10, learning_rate=0.03, radius=0.5, share=0.5, inner_rate=1, inner_steps=5, fixed_point_rate=0.01),
        SAU(rounds=10, learning_rate=0.03, epsilon=0.5),
    ],
    ids=by_name,
)
def test_after_fine_tuning_the_trigger_no_longer_leads_to_the_target(defense: Repair) -> None:
    victim, test = awake_victim(), THREE_CLASSES.draw(60, seed=2)
    others = test.at(test.labels != THREE_CLASSES.target)
    images = THREE_CLASSES.triggered(others.floats)
    assert accuracy(victim, images, others.labels) == 0
    repaired = defense.repair(victim, Known(THREE_CLASSES.draw(60, seed=1)), context())
    assert accuracy(repaired, images, others.labels) > 0.9
    assert accuracy(repaired, test.floats, test.labels) > 0.95


def test_the_planted_victim_has_a_backdoor() -> None:
    assert FOUR_CLASSES.rates(normalised_victim()) == (1.0, 1.0)


@pytest.mark.parametrize("defense", PRUNING, ids=by_name)
def test_the_backdoor_is_removed_and_the_accuracy_remains(defense: Repair) -> None:
    known = Known(FOUR_CLASSES.draw(120, seed=1))
    model = defense.repair(normalised_victim(), known, rising()[0])
    right, hit = FOUR_CLASSES.rates(model)
    assert right >= 0.98
    assert hit <= 0.05
    assert not model.training
    assert all(parameter.requires_grad for parameter in model.parameters())
    again = defense.repair(normalised_victim(), known, context())
    for one, other in zip(model.state_dict().values(), again.state_dict().values(), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("defense", MASKED, ids=by_name)
def test_the_backdoors_channel_is_pruned(defense: Repair) -> None:
    notes, victim = context(), normalised_victim()
    model = defense.repair(victim, Known(FOUR_CLASSES.draw(120, seed=1)), notes)
    gains = model.get_parameter("body.1.weight")
    assert gains[victim.backdoor] == 0
    pruned = notes.diagnostics["pruned"]
    assert pruned["channels"] == int((gains == 0).sum())
    assert pruned["of"] == victim.backdoor + 1
    if isinstance(defense, CLP | BNP):
        assert gains.count_nonzero() == victim.backdoor
        assert model.get_parameter("body.1.bias")[victim.backdoor] == 0
        assert pruned["by_layer"] == {"body.1": [victim.backdoor]}


def test_a_convolutional_network_is_supported() -> None:
    for defense in PRUNING:
        assert defense.unsupported(Case(Digits(), ResNet18(width=4), NoAttack(), defense)) is None
