"""Keys: fixed by golden values, sensitive to what matters and to nothing else."""

from pathlib import Path

import pytest
import tiny

from bench.plan import identity
from bench.plan.plan import Plan, make_plan
from bench.plan.registry import Registry
from bench.plan.request import Request

REQUEST = Request(defenses="none", attacks="badnets", datasets="digits", models="resnet18[width=16]")


def plan(**changes: object) -> Plan:
    return make_plan(Request(**{**vars(REQUEST), **changes}), Registry(), Path())


def test_keys_stay_what_they_are():
    """If this fails, stored results are void: raise SCHEMA, or the plugin's version, and only then the values here."""
    [cell] = plan().cells
    assert identity.key("stage", a=1, b=[0.5, "x", None]) == "6065b25708347abd7c19f0bd75184c7e"
    assert cell.victim.key == "576a9f584bb38442d09e7b342118b521"
    assert cell.key == "a68569fd6304a2425251adb8cbeaa387"


def test_keys_of_cells_with_suspects_and_on_the_validation_part_stay_what_they_are():
    [given] = plan(defenses="fire[baseline=classes]").cells  # the plugin's default; quick has another
    assert given.key == "bee230f780efabd2c886cf0c4ae2832c"
    [held_out] = plan(evaluate="validation").cells
    assert (held_out.victim.key, held_out.key) == (
        "1b5062d2128b09a4d1be8d488446a9f5",
        "5361aed1be45c1ee3927b1c3c6b494c9",
    )


def test_derived_seeds_stay_what_they_are():
    assert identity.seed("0" * 32, "attack") == 837892203135723550
    assert identity.seed("0" * 32, "attack") != identity.seed("0" * 32, "training")


def test_canonical_text_does_not_depend_on_order():
    assert identity.canonical({"b": 1, "a": [1.0, None]}) == identity.canonical({"a": [1.0, None], "b": 1})
    with pytest.raises(ValueError, match="JSON compliant"):
        identity.canonical(float("nan"))


@pytest.mark.parametrize(
    "change",
    [
        {"attacks": "badnets[poisoning_rate=0.2]"},
        {"datasets": "digits[train_size=500]"},
        {"models": "resnet18[width=32]"},
        {"seeds": (1,)},
        {"profile": "paper"},
    ],
)
def test_a_victim_depends_on_attack_data_model_recipe_and_seed(change):
    assert plan(**change).cells[0].victim.key != plan().cells[0].victim.key


def test_a_victim_does_not_depend_on_the_defense_or_its_budgets():
    one, other = plan(), plan(defenses="fine_pruning", reference="50", suspects=10)
    assert one.cells[0].victim.key == other.cells[0].victim.key
    assert one.cells[0].key != other.cells[0].key


def test_a_budget_counts_only_for_a_defense_that_uses_it():
    assert plan(reference="50").cells[0].key == plan().cells[0].key
    pruned = [plan(defenses="fine_pruning", reference=reference).cells[0].key for reference in ("50", "51")]
    assert len(set(pruned)) == 2


def test_a_default_that_is_spelled_out_is_the_same_cell():
    [cell] = plan(attacks="badnets,badnets[poisoning_rate=0.1]").cells
    assert cell.victim.attack.label == "badnets"


def test_the_reference_split_is_the_same_for_every_attack():
    cells = plan(attacks="badnets,blend").cells
    assert cells[0].victim.data_key == cells[1].victim.data_key
    assert cells[0].victim.key != cells[1].victim.key


def test_a_parameter_without_a_default_is_part_of_the_label():
    registry = Registry([tiny.PLUGIN_FOLDER / "needy.py"])
    asked = Request(**{**vars(REQUEST), "defenses": "needy[n=1|2],needy[m=3,n=1]"})
    labels = [cell.defense.label for cell in make_plan(asked, registry, Path()).cells]
    assert labels == ["needy[n=1]", "needy[n=2]", "needy[n=1,m=3]"]
