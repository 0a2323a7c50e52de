"""Who is asked how often whether a combination can be done: once for all that are the same to it."""

from contextlib import nullcontext
from itertools import product
from types import SimpleNamespace

import pytest
from torch import nn

from bench.attacks.none import NoAttack
from bench.errors import RequestError
from bench.plan.declined import Declined
from bench.plugin import Case, ImageSpec, Repair

SPEC = ImageSpec(1, 8, 8, classes=3, mean=(0.5,), std=(0.25,))
DATASET = SimpleNamespace(spec=SPEC)
MODELS = [SimpleNamespace(width=width, build=lambda spec: nn.Linear(64, 3)) for width in (1, 2)]
ATTACKS = [NoAttack(), NoAttack()]
LOOKS = {
    "images": lambda case: f"{case.dataset.spec.classes} classes",
    "network": lambda case: f"{type(case.network).__name__} on {tuple(case.example.shape)}",
    "model": lambda case: f"width {case.model.width}",
    "nothing": lambda case: None,
    "attack": lambda case: f"attack {id(case.attack)}",
    "defense": lambda case: f"defense {id(case.defense)}",
    "whole": lambda case: f"attack {id(vars(case)['attack'])}",
    "in words": lambda case: repr(case).partition("(")[2],
}


class Asked(Repair):
    """Declines by what is given to it."""

    name = "asked"

    def unsupported(self, case):
        return self.answer(case)

    def repair(self, model, known, context):
        raise AssertionError("not to be called")


def asked(look, monkeypatch):
    """The number of times that a defense is asked in four cases, two of each model; their answers must be right."""
    calls = []
    monkeypatch.setattr(Asked, "answer", lambda self, case: calls.append(case) or look(case), raising=False)
    part, declined = Asked(), Declined()
    for _, model, attack in product(range(2), MODELS, ATTACKS):
        case = Case(DATASET, model, attack, part)
        expected = look(case)
        assert declined.reason(part, case, nullcontext) == (expected and " ".join(expected.split()))
    return len(calls)


@pytest.mark.parametrize("what", ["images", "network", "model", "nothing"])
def test_a_plugin_that_looks_at_images_and_network_is_asked_once_for_all_attacks(what, monkeypatch):
    assert asked(LOOKS[what], monkeypatch) == len(MODELS)


@pytest.mark.parametrize("what", ["attack", "defense", "whole", "in words"])
def test_a_plugin_that_looks_further_is_asked_about_every_case(what, monkeypatch):
    assert asked(LOOKS[what], monkeypatch) == 2 * len(MODELS) * len(ATTACKS)


def test_an_answer_is_its_plugins_alone(monkeypatch):
    monkeypatch.setattr(Asked, "answer", lambda self, case: f"I am {id(self)}", raising=False)
    parts, declined = [Asked(), Asked()], Declined()
    said = [declined.reason(part, Case(DATASET, MODELS[0], ATTACKS[0], part), nullcontext) for part in parts]
    assert said == [f"I am {id(part)}" for part in parts]


def test_a_question_that_fails_is_no_answer(monkeypatch):
    monkeypatch.setattr(Asked, "answer", lambda self, case: 1 / 0, raising=False)
    part, declined = Asked(), Declined()
    model = SimpleNamespace(build=lambda spec: nn.Sequential(nn.Flatten(), nn.Linear(64, 3)))
    for _ in range(2):
        with pytest.raises(RequestError, match="defense 'asked': unsupported failed: ZeroDivisionError"):
            declined.reason(part, Case(DATASET, model, ATTACKS[0], part), nullcontext)
