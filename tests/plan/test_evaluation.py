"""A plan on the validation part: keys of its own, and fewer images to train with."""

from pathlib import Path

import pytest

from bench.cli.planned import plan_lines
from bench.errors import OptionError, RequestError
from bench.plan.plan import Plan, make_plan
from bench.plan.registry import Registry
from bench.plan.request import Request

SMALL = {"attacks": "badnets", "defenses": "ft", "datasets": "digits", "models": "resnet18[width=4]"}
TRAINING, HELD_OUT = 1438, 144  # images of digits


def plan(**options: object) -> Plan:
    return make_plan(Request.read({**SMALL, **options}), Registry(), Path())


def test_the_validation_part_has_victims_cells_and_reference_sets_of_its_own():
    [tested], [validated] = plan(evaluate="test").cells, plan(evaluate="validation").cells
    assert plan().cells == [tested]
    for name in ("key", "data_key"):
        assert getattr(validated.victim, name) != getattr(tested.victim, name)
    assert validated.key != tested.key
    assert (tested.columns["evaluated_on"], validated.columns["evaluated_on"]) == ("test", "validation")


def test_a_share_of_reference_images_is_of_what_is_left_to_train_on():
    assert plan(evaluate="validation", reference="10%").cells[0].reference == round((TRAINING - HELD_OUT) / 10)
    assert plan(reference="10%").cells[0].reference == round(TRAINING / 10)


def test_train_size_takes_at_most_what_the_validation_part_leaves():
    most = TRAINING - HELD_OUT
    assert plan(evaluate="validation", datasets=f"digits[train_size={most}]", reference=most).cells
    with pytest.raises(RequestError) as caught:
        plan(evaluate="validation", datasets=f"digits[train_size={most + 1}]")
    assert str(caught.value) == (
        f"digits: train_size={most + 1}: expected at most {most}, the training images beside the validation part"
    )
    assert plan(datasets=f"digits[train_size={most + 1}]").cells


def test_the_plan_says_what_is_evaluated():
    assert plan_lines(plan(), None)[0] == "digits × resnet18[width=4]"
    heading = plan_lines(plan(evaluate="validation"), None)[0]
    assert heading == "digits × resnet18[width=4], evaluated on the validation part"


def test_another_word_is_refused():
    with pytest.raises(OptionError, match=r"^--evaluate training: expected one of test, validation$"):
        Request.read({"evaluate": "training"})
