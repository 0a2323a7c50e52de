"""A defense in a process of its own answers, notes and logs as it does here, bit for bit, with what it is given."""

import json
import math

import pytest
import torch
from torch import nn

from bench.cell import reference
from bench.cell.apart.defender import Assignment, DefenderApart
from bench.cell.backdoors import TriggeredSet
from bench.cell.defender import DefenderHere
from bench.cell.loaded import LoadedVictim
from bench.cell.predict import predict
from bench.cell.reference import DefenseInputs
from bench.cell.workshop import Workshop
from bench.plan import identity
from bench.plan.plan import make_plan
from bench.plan.registry import Registry
from bench.plan.request import Request
from bench.plan.stages import CellStage
from bench.plugin import Oracle
from bench.plugin.values import Context
from bench.records import LogLines

REGISTRY = Registry()
DEFENSES = [
    entry.name
    for entry in REGISTRY.entries("defense")
    if entry.is_built_in and not issubclass(REGISTRY.load("defense", entry.name), Oracle)
]
QUICK = {"none", "ft", "clp", "strip"}
FEWER = {  # steps of the slowest
    "anp": "anp[epochs=20,step=0.1]",
    "bna": "bna[steps=20,refine_steps=10,align_steps=10,rule=mad,threshold=1]",
    "nc": "nc[steps=20,refine_steps=20]",
    "sau": "sau[rounds=2]",
    "tac": "tac[controls=1]",
}


@pytest.fixture(scope="module")
def shop(grid) -> Workshop:
    """A workshop on the grid's store, where the victim of badnets is trained already."""
    return Workshop(Registry(), grid[1], None, torch.device("cpu"))


def planned(digits, name: str) -> CellStage:
    asked = {**digits, "attacks": "badnets", "reference": 40, "defenses": FEWER.get(name, name)}
    [stage] = make_plan(Request(**asked), REGISTRY, None).cells
    return stage


def here(stage: CellStage, victim: LoadedVictim, seed: int, log: LogLines) -> DefenderHere:
    context = Context(torch.device("cpu"), torch.Generator().manual_seed(seed), log=log.append)
    inputs = DefenseInputs(victim.network(), reference.known(stage, victim), context, lambda: None)
    return DefenderHere(victim.workshop.plugin(stage.defense), inputs, "")


def assigned(stage: CellStage, victim: LoadedVictim, seed: int) -> Assignment:
    weights, known = victim.network().state_dict(), reference.known(stage, victim)
    return Assignment((), stage.victim.model, victim.dataset.spec, weights, stage.defense, known, seed, "cpu")


def as_text(noted: dict[str, object]) -> str:
    return json.dumps(noted, default=lambda value: value.tolist())


def some(test: TriggeredSet, count: int = 20) -> TriggeredSet:
    index = torch.arange(count)
    return TriggeredSet(test.originals.at(index), test.pixels[index], test.targets[index])


@pytest.mark.parametrize(
    "name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in DEFENSES]
)
def test_a_built_in_defense_is_the_same_in_a_process_of_its_own(name, digits, shop, forks):
    stage, log, log_apart = planned(digits, name), LogLines(), LogLines()
    victim, seed = LoadedVictim.read(stage.victim, shop), identity.seed(stage.key, "defense")
    test, classes = some(victim.test_set()), victim.dataset.spec.classes
    defender = here(stage, victim, seed, log)
    order = torch.randperm(2 * len(test)) if defender.learns_from_stream else None
    expected = predict(defender, test, order, classes=classes)
    with forks.process("bench.cell.apart.defender:serve", "the defense's process") as process:
        context = Context(torch.device("cpu"), torch.Generator(), log=log_apart.append)
        apart = DefenderApart(process, assigned(stage, victim, seed), context)
        answered = predict(apart, test, order, classes=classes, compared=apart.compared)
        report = apart.report()
    assert answered.keys() == expected.keys()
    assert all(torch.equal(answered[part], expected[part]) for part in expected)
    assert as_text(report.diagnostics) == as_text(defender.report().diagnostics)
    assert log_apart.lines == log.lines
    assert apart.learns_from_stream == defender.learns_from_stream
    assert apart.detects_only == defender.detects_only
    assert report.defending > 0
    assert report.answering > 0
    assert report.peak_mb > 0
    assert math.isfinite(report.ms_added)  # against the bare network in that process
    assert apart.changes_nothing == defender.changes_nothing == (name == "none")


def test_any_of_its_randomness_follows_from_the_seed(digits, shop, forks, plugin_file):
    """Also what it draws from the global generators, against the contract."""
    path = plugin_file("draws", DRAWS)
    registry = Registry([path])
    asked = {**digits, "attacks": "badnets", "defenses": "draws"}
    [stage] = make_plan(Request(**asked), registry, None).cells
    victim = LoadedVictim.read(stage.victim, shop)

    def drawn(seed: int) -> dict[str, object]:
        files = registry.files
        with forks.process("bench.cell.apart.defender:serve", "the defense's process") as process:
            model, spec = stage.victim.model, victim.dataset.spec
            known, weights = reference.known(stage, victim), victim.network().state_dict()
            told = Assignment(files, model, spec, weights, stage.defense, known, seed, "cpu")
            return DefenderApart(process, told, Context(torch.device("cpu"), torch.Generator())).report().diagnostics

    assert drawn(1) == drawn(1)
    assert all(value != drawn(2)[name] for name, value in drawn(1).items())


DRAWS = """
import random
from typing import ClassVar
import numpy as np
import torch
from bench import Repair

class Draws(Repair):
    name: ClassVar[str] = "draws"

    def repair(self, model, known, context):
        context.note("torch", torch.rand(1))
        context.note("numpy", np.random.rand(3))
        context.note("python", random.random())
        context.note("given", torch.rand(2, generator=context.generator))
        return model
"""


def test_nothing_of_a_class_of_its_own_reaches_the_worker(digits, shop, forks, plugin_file):
    registry = Registry([plugin_file("odd", ODD)])
    [stage] = make_plan(Request(**{**digits, "attacks": "badnets", "defenses": "odd"}), registry, None).cells
    victim = LoadedVictim.read(stage.victim, shop)
    log = LogLines()
    with forks.process("bench.cell.apart.defender:serve", "the defense's process") as process:
        model, spec, weights = stage.victim.model, victim.dataset.spec, victim.network().state_dict()
        known = reference.known(stage, victim)
        told = Assignment(registry.files, model, spec, weights, stage.defense, known, 1, "cpu")
        apart = DefenderApart(process, told, Context(torch.device("cpu"), torch.Generator(), log=log.append))
        answer, noted = apart(torch.rand(2, *spec.shape)), apart.report().diagnostics
    assert (apart.learns_from_stream, apart.detects_only, log.lines) == (False, True, ["logged"])
    assert [type(part) for part in (answer.logits, answer.score)] == [torch.Tensor, torch.Tensor]
    assert json.loads(as_text(noted)) == {"text": "text", "tensor": [1.0], "of": [[2]]}
    assert all(type(value) in (str, list, torch.Tensor) for value in noted.values())


ODD = """
from typing import ClassVar
import torch
from bench import Prediction, Runtime

class Text(str):
    pass

class Odd(torch.Tensor):
    pass

class Answer(Prediction):
    pass

class OddGuard(Runtime):
    name: ClassVar[str] = "odd"

    @property
    def learns_from_stream(self):
        return []

    @property
    def detects_only(self):
        return [1]

    def guard(self, model, known, context):
        context.log(Text("logged"))
        context.note("text", Text("text"))
        context.note("tensor", torch.ones(1).as_subclass(Odd))
        context.note("of", ((2,),))
        return lambda images: Answer(model(images).as_subclass(Odd), images.mean((1, 2, 3)).as_subclass(Odd))
"""


def test_the_victim_s_own_network_is_not_the_one_that_is_repaired(digits, shop, forks):
    stage = planned(digits, "ft")
    victim = LoadedVictim.read(stage.victim, shop)
    before = {name: value.clone() for name, value in shop.victim(stage.victim).state_dict().items()}
    with forks.process("bench.cell.apart.defender:serve", "the defense's process") as process:
        DefenderApart(process, assigned(stage, victim, 1), Context(torch.device("cpu"), torch.Generator()))
    after = shop.victim(stage.victim)
    assert isinstance(after, nn.Module)
    assert all(torch.equal(before[name], value) for name, value in after.state_dict().items())
