"""Neural Cleanse: the classes that it flags."""

import copy

import pytest
import torch
from planted import FOUR_CLASSES, context, normalised_victim

from bench.defenses.nc import NeuralCleanse
from bench.plugin.values import Known


@pytest.mark.parametrize("logarithm", [True, False])
def test_the_planted_target_alone_is_flagged(logarithm: bool) -> None:
    notes = context()
    NeuralCleanse(epochs=0, logarithm=logarithm).repair(
        normalised_victim(), Known(FOUR_CLASSES.draw(120, seed=1)), notes
    )
    statistic = notes.diagnostics["class_statistic"]
    assert statistic["flagged"] == [FOUR_CLASSES.target]
    assert len(statistic["values"]) == FOUR_CLASSES.classes
    assert max(statistic["values"]) == statistic["values"][FOUR_CLASSES.target] > 2


def test_an_unsuspicious_network_stays_as_it_is() -> None:
    model = normalised_victim()
    with torch.no_grad():
        model.head.weight[:, model.backdoor] = 0
    before = copy.deepcopy(model.state_dict())
    notes = context()
    NeuralCleanse(threshold=50).repair(model, Known(FOUR_CLASSES.draw(120, seed=1)), notes)
    assert notes.diagnostics["class_statistic"]["flagged"] == []
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
