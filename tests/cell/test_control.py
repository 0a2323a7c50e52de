"""The control column takes the victim's predictions, and a repair that changes nothing computes the same ones."""

import json
import math
import shutil

import pytest
import torch
from torch import nn

from bench.cell.defender import DefenderHere
from bench.cell.loaded import LoadedVictim
from bench.cell.make import make
from bench.cell.predict import predict
from bench.cell.reference import DefenseInputs
from bench.cell.workshop import Workshop
from bench.defenses.none import NoDefense
from bench.plan.plan import make_plan
from bench.plan.registry import Registry
from bench.plan.request import Request
from bench.plan.stages import CellStage
from bench.plugin import Context, Known, Repair
from bench.store.store import Store

CPU = torch.device("cpu")
PARTS = ("clean_logits", "triggered_logits")


@pytest.fixture
def shop(grid, tmp_path) -> Workshop:
    """A workshop on a copy of the grid's store in which no cell is made yet."""
    root = shutil.copytree(grid[1].root, tmp_path / "store")
    shutil.rmtree(root / "cells")
    return Workshop(Registry(), Store(root), None, CPU)


def planned(digits, defense: str) -> CellStage:
    [stage] = make_plan(Request(**{**digits, "attacks": "badnets", "defenses": defense}), Registry(), None).cells
    return stage


def stored(shop: Workshop, stage: CellStage) -> dict[str, torch.Tensor]:
    return shop.store.tensors("victims", stage.victim.key, "predictions.safetensors")


def forward_calls(action) -> int:
    """How many layers have run."""
    calls = []
    hook = nn.modules.module.register_module_forward_pre_hook(lambda module, _: calls.append(module))
    try:
        action()
    finally:
        hook.remove()
    return len(calls)


def test_the_control_cell_has_the_victims_predictions_and_asks_no_network(digits, shop):
    stage, other = planned(digits, "none"), planned(digits, "clp")
    assert forward_calls(lambda: make(stage, shop)) == 0
    assert forward_calls(lambda: make(other, shop)) > 0  # the others do ask
    before, after = stored(shop, stage), shop.store.tensors("cells", stage.key, "predictions.safetensors")
    assert sorted(after) == sorted(PARTS)
    assert all(torch.equal(after[part], before[part]) for part in PARTS)


def test_the_control_cells_record_has_the_victims_costs(digits, shop):
    stage = planned(digits, "none")
    make(stage, shop)
    record, facts = shop.store.record(stage.key), shop.store.facts(stage.victim.key)
    assert record.ms_per_sample == record.ms_per_sample_before == facts.ms_per_sample
    assert record.inference_seconds == 0
    assert math.isnan(record.ms_added)
    assert record.acc == record.acc_before
    assert record.der == 0.5


def test_other_cells_say_what_their_defense_adds(grid):
    others = [record for record in grid[0].records if record.defense != "none"]
    assert others
    assert all(math.isfinite(record.ms_added) and record.ms_added_spread >= 0 for record in others)


class Undeclared(Repair):
    """A repair that changes nothing and does not say so."""

    name = "undeclared"

    def repair(self, model: nn.Module, known: Known, context: Context) -> nn.Module:
        return model


class Liar(NoDefense):
    """One that says so, and changes a bias by ``much``, or builds another network."""

    name = "liar"
    much: float = 0.0
    another: bool = False

    def repair(self, model: nn.Module, known: Known, context: Context) -> nn.Module:
        with torch.no_grad():
            next(model.parameters()).add_(self.much)
        return nn.Sequential(model) if self.another else model


def defended(shop: Workshop, stage: CellStage, defense: Repair, precision: str) -> dict[str, torch.Tensor]:
    victim = LoadedVictim.read(stage.victim, shop)
    context = Context(CPU, torch.Generator())
    defender = DefenderHere(defense, DefenseInputs(victim.network(), Known(), context, lambda: None, precision), "")
    return predict(defender, victim.test_set(), classes=10, compared=defender.compared)


def test_a_repair_that_changes_nothing_predicts_what_the_victim_does_bit_for_bit(digits, shop):
    stage = planned(digits, "none")
    precision = shop.store.facts(stage.victim.key).precision
    after = defended(shop, stage, Undeclared(), precision)
    assert all(torch.equal(after[part], stored(shop, stage)[part]) for part in PARTS)


@pytest.mark.parametrize(("lie", "said"), [({"much": 1e-3}, "weight"), ({"another": True}, "another network")])
def test_a_repair_that_declares_to_change_nothing_and_does_not_keep_to_it_fails(lie, said, digits, shop):
    stage = planned(digits, "none")
    with pytest.raises(ValueError, match=rf"^repair (changed .*|gave .*){said}.*declares changes_nothing$"):
        defended(shop, stage, Liar(**lie), "float32")


def test_a_cell_is_evaluated_in_the_precision_that_its_victim_was(digits, shop, monkeypatch):
    """Also of a store that was made in single precision, before there was another: its victim does not say so."""
    stage, asked = planned(digits, "clp"), []
    facts = json.loads(shop.store.read("victims", stage.victim.key, "stage.json"))
    for precision in ("bfloat16", "float32", None):
        facts = {name: value for name, value in facts.items() if name != "precision"}
        facts |= {"precision": precision} if precision else {}
        content = {**shop.store.contents("victims", stage.victim.key), "stage.json": json.dumps(facts)}
        shop.store.write("victims", stage.victim.key, content, replace=True)
        monkeypatch.setattr("bench.cell.network.Answers", lambda network, given: asked.append(given) or network)
        make(stage, shop)
        shutil.rmtree(shop.store.folder("cells", stage.key))
    assert asked == ["bfloat16"] * 2 + ["float32"] * 4  # the repaired network and the bare one, each time
