"""Suspects in a plan: how pure, of how many classes, in which keys, and said in which words."""

from pathlib import Path

import pytest

from bench.errors import OptionError, RequestError
from bench.plan.budget import source_classes, triggered_count
from bench.plan.plan import make_plan
from bench.plan.registry import Registry
from bench.plan.request import Request
from bench.plan.stages import CellStage

REGISTRY = Registry()
SMALL = {"attacks": "badnets", "datasets": "digits", "models": "resnet18[width=4]", "reference": 40, "suspects": 64}


def cell(defenses: str = "fire", **options: object) -> CellStage:
    [stage] = make_plan(Request.read({**SMALL, "defenses": defenses, **options}), REGISTRY, Path()).cells
    return stage


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "40 clean + 64 suspected"),
        ({"suspects_purity": 1.0, "suspects_classes": 0}, "40 clean + 64 suspected"),
        ({"suspects_purity": 0.125}, "40 clean + 64 suspected, 12.5 % triggered"),
        ({"suspects_classes": 1}, "40 clean + 64 suspected, of 1 class"),
        ({"suspects_purity": "0.5", "suspects_classes": "3"}, "40 clean + 64 suspected, 50 % triggered, of 3 classes"),
        ({"defenses": "fire[direction=paired]", "suspects_purity": 0.5}, "40 clean + 64 pairs, 50 % triggered"),
        ({"defenses": "bna", "suspects_purity": 0.5}, "40 clean"),
    ],
)  # fmt: skip
def test_what_a_defender_is_given_is_said_in_words(options, words):
    assert cell(**options).knowledge == words


def test_every_draw_is_a_cell_of_its_own_and_only_where_a_defense_is_given_suspects():
    draws = [{}, {"suspects_purity": 0.5}, {"suspects_classes": 1}, {"suspects_purity": 0.5, "suspects_classes": 1}]
    assert len({cell(**draw).key for draw in draws}) == len(draws)
    assert len({cell("bna", **draw).key for draw in draws}) == 1
    assert len({cell(**draw).victim.key for draw in draws}) == 1
    assert cell().key == cell(suspects_purity=1, suspects_classes=0).key


def test_the_columns_say_how_suspects_were_drawn():
    columns = cell(suspects_purity=0.5, suspects_classes=2).columns
    assert (columns["suspects"], columns["suspects_purity"], columns["suspects_classes"]) == (64, 0.5, 2)
    without = cell("bna", suspects_purity=0.5, suspects_classes=2).columns
    assert (without["suspects"], without["suspects_classes"]) == (0, 0)
    assert without["suspects_purity"] != without["suspects_purity"]  # NaN: nothing is suspected


@pytest.mark.parametrize("purity", [0, -0.5, 1.01, "0"])
def test_a_purity_that_is_no_share_is_refused(purity):
    with pytest.raises(OptionError, match=rf"^--suspects-purity {purity}: expected more than 0 and at most 1$"):
        Request.read({"suspects_purity": purity})


@pytest.mark.parametrize("purity", ["half", float("nan"), True])
def test_a_purity_that_is_no_number_is_refused(purity):
    with pytest.raises(OptionError, match=rf"^--suspects-purity {purity}: expected a number$"):
        Request.read({"suspects_purity": purity})


@pytest.mark.parametrize(("suspects", "purity", "left"), [(64, 0.02, 1), (64, 0.001, 0), (2, 0.9, None), (4, 0.3, 1)])
def test_a_purity_that_leaves_fewer_than_two_triggered_images_is_refused(suspects, purity, left):
    if left is None:
        assert triggered_count(suspects, purity) == 2
        assert cell(suspects=suspects, suspects_purity=purity).suspects == suspects
        return
    with pytest.raises(RequestError) as caught:
        cell(suspects=suspects, suspects_purity=purity)
    assert str(caught.value) == (
        f"--suspects-purity {purity}: expected at least 2 triggered images among the suspects; "
        f"of {suspects} it leaves {left}"
    )
    assert cell("bna", suspects=suspects, suspects_purity=purity).suspects == 0  # who is given none need not care


@pytest.mark.parametrize(
    ("attack", "most"),
    [
        ("badnets", 9),
        ("badnets[label_map=all-to-all]", 10),
        ("badnets[label_map=several,targets=2+5]", 10),  # an image of class 2 is led to 5 by the other trigger
        ("none", 10),
    ],
)
def test_as_many_source_classes_as_the_trigger_leads_elsewhere(attack, most):
    assert cell(attacks=attack, suspects_classes=most).classes == most
    label = cell(attacks=attack).victim.attack.label
    with pytest.raises(RequestError) as caught:
        cell(attacks=attack, suspects_classes=most + 1)
    assert str(caught.value) == (
        f"--suspects-classes {most + 1}: expected at most {most}, the classes of digits that {label} leads elsewhere"
    )


def test_a_negative_number_of_classes_is_refused():
    with pytest.raises(OptionError, match=r"^--suspects-classes -1: expected at least 0$"):
        Request.read({"suspects_classes": -1})


def test_the_classes_that_suspects_come_from_are_all_but_the_target():
    attack = REGISTRY.create("attack", "badnets", {"target_class": 3})
    assert source_classes(attack, 5).tolist() == [0, 1, 2, 4]
    assert source_classes(REGISTRY.create("attack", "none", {}), 3).tolist() == [0, 1, 2]
