"""RNP: masks that recover the clean task of an unlearned copy."""

import copy

import pytest
from planted import FOUR_CLASSES, context, normalised_victim
from torch import nn

from bench.defenses.rnp import RNP
from bench.plugin import Known, LabelledImages


def test_what_it_did_is_noted() -> None:
    victim = normalised_victim()
    notes = context()
    RNP(forget_accuracy=0.3).repair(victim, Known(FOUR_CLASSES.draw(120, seed=1)), notes)
    assert notes.diagnostics["unlearned_accuracy"] <= 0.3
    pruned = notes.diagnostics["pruned"]
    gains = victim.get_parameter("body.1.weight")
    assert pruned["channels"] == int((gains == 0).sum()) < pruned["of"] == len(gains)
    assert 0 < pruned["threshold"] < 1


def test_a_share_of_the_reference_images_is_used_evenly_by_class(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def record(model: nn.Module, data: LabelledImages, *rest: object, **settings: object) -> tuple[nn.Module, float]:
        seen.append((data.labels.bincount().tolist(), settings["whole_epochs"]))
        return copy.deepcopy(model), 0.0

    monkeypatch.setattr("bench.defenses.rnp.unlearned", record)
    for parameters in ({}, {"share": 0.2, "whole_epochs": True}):
        RNP(recover_epochs=1, **parameters).repair(normalised_victim(), Known(FOUR_CLASSES.draw(120, 1)), context())
    assert seen == [([30] * 4, False), ([6] * 4, True)]
