"""A plugin is examined with little to compute: lowered numbers, or what its preset ``check`` says."""

from typing import Any, ClassVar

from pydantic import Field

from bench.defenses.ft import FT
from bench.plan.profiles import PROFILES
from bench.plugin import Attack
from bench.testing.quick import quick


class Long(Attack):
    """An attack with much to do."""

    name: ClassVar[str] = "long"
    epochs: int = Field(100, ge=1, description="passes")
    inner_steps: int = Field(50, ge=40, description="of each")
    stages: int = Field(30, description="not how often something is done")
    rounds: int | None = Field(None, description="none by default")

    def trigger(self, images: Any, context: Any) -> Any:
        return images


class Declared(Long):
    """The same, which says itself what is little."""

    presets: ClassVar[Any] = {"check": {"epochs": 7, "inner_steps": 45}}


def test_numbers_that_say_how_often_something_is_done_are_lowered_within_their_bounds():
    made = quick(Long, {}, built_in=False)
    assert (made.epochs, made.inner_steps, made.stages, made.rounds) == (2, 50, 30, None)


def test_what_was_asked_for_stays():
    assert quick(Long, {"epochs": 9}, built_in=False).epochs == 9


def test_a_preset_named_check_stands_in_their_place():
    assert quick(Declared, {}, built_in=False) == Declared(epochs=7, inner_steps=45)
    assert quick(Declared, {"epochs": 8}, built_in=False) == Declared(epochs=8, inner_steps=45)


def test_a_built_in_has_the_values_of_the_quick_profile():
    made = quick(FT, {}, built_in=True)
    assert (made.learning_rate, made.epochs) == (PROFILES["quick"].parameters["ft"]["learning_rate"], 2)
