"""A defense whose outlier test can flag no class among so few is not applicable, and says so before it runs."""

from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from bench.attacks.none import NoAttack
from bench.defenses.bna import BNA
from bench.defenses.nc import NeuralCleanse
from bench.defenses.tac import TAC
from bench.models.resnet18 import ResNet18
from bench.plugin import Case, Defense, ImageSpec

Rule = Callable[[NDArray[np.float64]], bool]  # whether a statistic (C,) of positive sizes makes it flag anything

PLAIN = {"evidence": "latent", "pairs": False}
FEWEST = {  # of which the defense can flag one
    "grubbs": (TAC(**PLAIN), 3),
    "extreme at 0.1": (TAC(test="extreme", significance=0.1, **PLAIN), 7),
    "extreme at 0.05": (TAC(test="extreme", significance=0.05, **PLAIN), 9),
    "extreme, or all-to-all": (TAC(test="extreme", significance=0.1), 4),
    "esd": (BNA(), 3),
    "mad": (BNA(rule="mad"), 3),
    "mad of pairs": (BNA(rule="mad", search="pairs"), 3),
    "index": (NeuralCleanse(), 3),
    "low index": (NeuralCleanse(threshold=0.5), 2),
}


def reason(defense: Defense, classes: int) -> str | None:
    spec = ImageSpec(1, 8, 8, classes=classes, mean=(0.5,), std=(0.25,))
    return defense.unsupported(Case(SimpleNamespace(spec=spec), ResNet18(width=4), NoAttack(), defense))


@pytest.mark.parametrize(("defense", "fewest"), FEWEST.values(), ids=FEWEST)
def test_too_few_classes_are_refused_with_the_number_that_is_enough(defense: Defense, fewest: int) -> None:
    reasons = {classes: reason(defense, classes) for classes in range(2, 11)}
    assert [classes for classes, why in reasons.items() if why is None] == list(range(fewest, 11))
    for classes in range(2, fewest):
        assert f"over {classes} classes can flag none of them" in str(reasons[classes])
        assert f"from {fewest} classes on" in str(reasons[classes])


def rule(defense: TAC | BNA | NeuralCleanse) -> Rule:
    """The defense's own rule, on statistics of the test's."""
    if isinstance(defense, TAC):
        return lambda sizes: bool(defense._small_outliers(np.log(sizes))[0])
    if isinstance(defense, BNA):
        return lambda sizes: bool(defense._judge(torch.from_numpy(sizes))[1].any())
    return lambda sizes: bool((defense._index(torch.from_numpy(sizes).log()) > defense.threshold).any())


@pytest.mark.parametrize("name", ["grubbs", "extreme at 0.1", "extreme at 0.05", "esd", "mad", "index", "low index"])
def test_no_statistic_flags_where_a_case_is_refused(name: str) -> None:
    """Ordinary ones, wild ones, and those of one class far below the others."""
    defense, draw = FEWEST[name][0], np.random.default_rng(0)
    for classes in range(2, 11):
        statistics = [np.exp(draw.standard_normal(classes) * scale) for scale in (0.1, 1, 5) for _ in range(40)]
        statistics += [np.where(np.arange(classes) == 0, size, 1 + 0.01 * draw.random(classes)) for size in (1e-9, 0.1)]
        assert any(map(rule(defense), statistics)) == (reason(defense, classes) is None), classes


@pytest.mark.parametrize("told", [{"flag": "always"}, {"poisoned_class": 1}], ids=str)
def test_a_defense_that_needs_no_test_is_not_refused(told: dict[str, object]) -> None:
    assert reason(TAC(**told), 2) is None
    assert reason(TAC(), 2) is not None
