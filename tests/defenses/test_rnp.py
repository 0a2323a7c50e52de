"""RNP: masks that recover the clean task of an unlearned copy."""

from planted import FOUR_CLASSES, context, normalised_victim

from bench.defenses.rnp import RNP
from bench.plugin import Known


def test_what_it_did_is_noted() -> None:
    victim = normalised_victim()
    notes = context()
    RNP(forget_accuracy=0.3).repair(victim, Known(FOUR_CLASSES.draw(120, seed=1)), notes)
    assert notes.diagnostics["unlearned_accuracy"] <= 0.3
    pruned = notes.diagnostics["pruned"]
    gains = victim.get_parameter("body.1.weight")
    assert pruned["channels"] == int((gains == 0).sum()) < pruned["of"] == len(gains)
    assert 0 < pruned["threshold"] < 1
