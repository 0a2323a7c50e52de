"""A request: what its options accept from Python, and what a plan makes of it."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from bench.errors import OptionError
from bench.plan.plan import make_plan
from bench.plan.registry import Registry
from bench.plan.request import Request

SMALL = {"defenses": "bna", "attacks": "badnets", "datasets": "digits", "models": "resnet18[width=4]"}


@pytest.mark.parametrize(
    ("value", "seeds"),
    [
        (0, (0,)),
        (np.int64(7), (7,)),
        (np.array(7), (7,)),
        ([0, 1], (0, 1)),
        ((2, 1), (2, 1)),
        (range(3), (0, 1, 2)),
        (np.arange(3), (0, 1, 2)),
        ((seed for seed in [4, 5]), (4, 5)),
        ("0,1", (0, 1)),
        ("0-2", (0, 1, 2)),
        ("5,0-1,-3", (5, 0, 1, -3)),
        (None, None),
    ],
)
def test_seeds_may_be_written_in_many_ways(value, seeds):
    read = Request.read({"seeds": value}).seeds
    assert read == seeds
    assert all(type(seed) is int for seed in read or ())


@pytest.mark.parametrize(
    "value",
    [True, [True], np.bool_(True), 1.0, [0.0], np.array([0.5]), np.array([[0, 1]]), [], range(0), "", ",", "a", "1-",
     "3-1", "1.5", ["0"], {0: 1}, b"01", {"a"}],
)  # fmt: skip
def test_other_seeds_are_refused_in_one_line_that_names_them(value):
    with pytest.raises(OptionError) as caught:
        Request.read({"seeds": value})
    message = str(caught.value)
    assert message.startswith("--seeds ")
    assert message.endswith(": expected whole numbers, such as 0,1 or 0-4")
    assert "\n" not in message
    assert any(written in message for written in (f" {value}:", repr(value)))
    assert caught.value.option == "seeds"


def test_a_list_of_selections_is_the_selection_with_commas():
    assert Request(defenses=["tac[beta=1|2]", "bna"]) == Request(defenses="tac[beta=1|2],bna")


def test_a_reference_is_a_number_of_any_kind_or_a_share():
    requests = [Request(reference=value) for value in (200, "200", np.int32(200))]
    assert {request.reference for request in requests} == {"200"}
    counts = {
        value: make_plan(Request(**SMALL, reference=value), Registry(), Path()).cells[0].reference
        for value in (50, "50", "10%")
    }
    assert counts["50"] == counts[50] == 50
    assert counts["10%"] == round(0.1 * 1437)


def test_all_spellings_of_a_request_have_the_same_keys():
    spellings = [
        {"seeds": "0-1", "reference": "40", "defenses": "bna,tac"},
        {"seeds": np.arange(2), "reference": np.int64(40), "defenses": ["bna", "tac"]},
    ]
    plans = [make_plan(Request(**{**SMALL, **spelling}), Registry(), Path()) for spelling in spellings]
    keys = [[cell.key for cell in plan.cells] for plan in plans]
    assert keys[0] == keys[1]
    assert len(set(keys[0])) == 4


def test_a_request_cannot_be_changed_and_knows_its_options():
    request = Request()
    with pytest.raises(ValidationError):
        request.seeds = (1,)
    with pytest.raises(OptionError, match=r"^unknown option '--defence'; did you mean '--defenses'\?$"):
        Request.read({"defence": "tac"})


def test_reading_options_needs_neither_torch_nor_pandas_nor_numpy():
    probe = (
        "import sys, bench.cli.options; print([name for name in ('torch', 'pandas', 'numpy') if name in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert run.stdout == "[]\n"
