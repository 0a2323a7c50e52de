"""Selections: what they stand for, and what is wrong with a wrong one."""

import pytest

from bench.errors import RequestError
from bench.plan.selection import Choice, parse


def test_names_globs_and_parameters():
    assert parse("tac, bna*,fire[stage=layer1,alpha=0.5]") == [
        Choice("tac", {}),
        Choice("bna*", {}),
        Choice("fire", {"stage": "layer1", "alpha": 0.5}),
    ]


def test_a_sweep_is_the_product_of_its_axes():
    swept = [choice.parameters for choice in parse("tac[beta=1|2,variant=A|B]")]
    assert swept == [
        {"beta": 1, "variant": "A"},
        {"beta": 1, "variant": "B"},
        {"beta": 2, "variant": "A"},
        {"beta": 2, "variant": "B"},
    ]


def test_values_are_read_as_numbers_booleans_none_or_text():
    [choice] = parse("a[a=1,b=0.5,c=1e-3,d=true,e=none,f=word,g=40/255]")
    assert choice.parameters == {
        "a": 1, "b": 0.5, "c": 0.001, "d": True, "e": None, "f": "word", "g": pytest.approx(40 / 255),
    }  # fmt: skip


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a,,b",
        "a[",
        "a[b=]",
        "a[=1]",
        "a]b",
        "a[b=1",
        "a[b=1]c",
        "a b",
        "a[b=1,b=2]",
        "a[b c=1]",
        "a[b c]",
        "a[b|]",
        "a[2]",
        "a[b,c]",
    ],
)
def test_a_malformed_selection_is_named(text):
    with pytest.raises(RequestError, match="selection"):
        parse(text)
