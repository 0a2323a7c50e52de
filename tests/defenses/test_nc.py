"""Neural Cleanse: the classes that it flags."""

import copy
from types import SimpleNamespace

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


def test_a_failed_search_does_not_enter_the_statistic_if_only_successes_are_judged(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    norms = torch.tensor([10.0, 11, 9, 10.5, 2, 0.1])
    success = torch.tensor([1.0, 1, 1, 1, 1, 0.2])  # the smallest mask leads nowhere
    found = SimpleNamespace(norms=norms, success=success)
    monkeypatch.setattr(NeuralCleanse, "_invert", lambda *arguments: found)
    monkeypatch.setattr("bench.defenses.nc.note_pictures", lambda *arguments: None)  # there is no trigger to show
    statistics = {}
    for judged in ("all", "successful"):
        notes = context()
        defense = NeuralCleanse(judged=judged, logarithm=False)
        assert defense._flagged(normalised_victim(), FOUR_CLASSES.draw(120, seed=1), notes) == [4]
        statistics[judged] = notes.diagnostics["class_statistic"]["values"]
    away = (norms[:5] - 10).abs()
    deviation = float(1.4826 * away.median())
    expected = [float(8 / deviation) if norm == 2 else None for norm in norms[:5]]
    assert statistics["successful"][4] == pytest.approx(expected[4])
    assert statistics["successful"][5] is None
    assert statistics["all"][5] > 0
