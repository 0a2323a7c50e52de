"""A training that is interrupted and resumed ends like one that is not."""

import os
import pickle
from pathlib import Path

import pytest
import torch
from stores import ABCD

from bench.attacks.badnets import BadNets
from bench.attacks.input_aware import InputAware
from bench.attacks.lira import LIRA
from bench.attacks.norm_evader import NormEvader
from bench.cell import backdoors, victim
from bench.cell.workshop import Workshop
from bench.datasets.digits import Digits
from bench.errors import Damaged
from bench.models.resnet18 import ResNet18
from bench.plan.plan import make_plan
from bench.plan.registry import Registry
from bench.plan.request import Request
from bench.plugin.values import AttackContext
from bench.store.checkpoints import Checkpoint
from bench.store.store import Store
from bench.toolbox.training import Recipe, train

RECIPE = Recipe(epochs=4, batch_size=64, learning_rate=0.05, schedule="one-cycle")
CPU = torch.device("cpu")


class Interrupted(Exception):
    pass


def trained(attack, checkpoint=None, stop=None):
    """The network's state and what the attack learned, after a training that may be stopped at a share of it."""
    data = Digits(train_size=200).splits(Path()).train
    attack = attack.resolve(Digits().spec)
    context = AttackContext(CPU, torch.Generator().manual_seed(1), spec=Digits().spec)
    context = AttackContext(CPU, context.generator, spec=context.spec, learned=backdoors.learn(attack, data, context))
    poisoned = backdoors.poison(attack, data, context)
    torch.manual_seed(0)
    model = ResNet18(width=4).build(Digits().spec)
    objective = attack.objective(model, poisoned.data, context)

    def progress(share):
        if stop is not None and share >= stop:
            raise Interrupted

    generator = torch.Generator().manual_seed(2)
    train(model, poisoned.data, RECIPE, generator, objective=objective, checkpoint=checkpoint, progress=progress)
    return {**model.state_dict(), **objective.learned()}


ATTACKS = [BadNets(), InputAware(mask_epochs=1, width=4), LIRA(width=4), NormEvader()]


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_a_resumed_training_ends_like_an_uninterrupted_one(attack, tmp_path):
    store = Store(tmp_path / "store")
    expected = trained(attack)
    with pytest.raises(Interrupted):
        trained(attack, Checkpoint(store, ABCD, every=0), stop=0.6)
    assert store.has("checkpoints", ABCD)
    again = Checkpoint(store, ABCD, every=0)
    resumed = trained(attack, again)
    assert again.seconds > 0
    assert resumed.keys() == expected.keys()
    assert all(torch.equal(resumed[name], value) for name, value in expected.items())


def test_a_resumed_training_does_only_what_is_left(tmp_path):
    store, shares = Store(tmp_path / "store"), []
    with pytest.raises(Interrupted):
        trained(BadNets(), Checkpoint(store, ABCD, every=0), stop=0.8)
    data = Digits(train_size=200).splits(Path()).train
    model = ResNet18(width=4).build(Digits().spec)
    train(model, data, RECIPE, torch.Generator(), checkpoint=Checkpoint(store, ABCD, every=0), progress=shares.append)
    assert min(shares) > 0.75


def test_a_damaged_checkpoint_is_forgotten(tmp_path):
    store = Store(tmp_path / "store")
    expected = trained(BadNets())
    for damage in (b"", b"not a state", None):
        store.write("checkpoints", ABCD, {"state.pt": {"epochs": 1}})
        file = store.folder("checkpoints", ABCD) / "state.pt"
        file.write_bytes(file.read_bytes()[:-100] if damage is None else damage)
        resumed = trained(BadNets(), Checkpoint(store, ABCD))
        assert all(torch.equal(resumed[name], value) for name, value in expected.items())
        assert not store.has("checkpoints", ABCD)


def test_an_interrupted_victim_is_resumed_and_leaves_no_checkpoint(tmp_path, monkeypatch):
    registry = Registry()
    request = Request(
        defenses="none",
        attacks="badnets",
        models="resnet18[width=4]",
        datasets="digits[train_size=200]",
        reference=20,
    )
    [cell] = make_plan(request, registry, None).cells
    whole = Workshop(registry, Store(tmp_path / "whole"), None, CPU)
    victim.make_victim(cell.victim, whole)

    def progress(share):
        if share >= 0.5:
            raise Interrupted

    monkeypatch.setattr(Checkpoint.__init__, "__defaults__", (0.0,))
    store = Store(tmp_path / "killed")
    with pytest.raises(Interrupted):
        victim.make_victim(cell.victim, Workshop(registry, store, None, CPU, progress))
    assert store.count("checkpoints") == 1
    assert store.count("victims") == 0
    state = store.state("checkpoints", cell.victim.key, "state.pt", CPU)
    assert state["codes"] == cell.victim.codes == {kind: ref.fingerprint for kind, ref in cell.victim.refs.items()}
    victim.make_victim(cell.victim, Workshop(registry, store, None, CPU))
    assert store.count("checkpoints") == 0
    name = "model.safetensors"
    expected, resumed = (some.tensors("victims", cell.victim.key, name) for some in (whole.store, store))
    assert all(torch.equal(resumed[key], value) for key, value in expected.items())


@pytest.mark.parametrize(("saved_by", "usable"), [({"attack": "a"}, True), ({"attack": "b"}, False), (None, True)])
def test_a_training_is_never_continued_by_other_code(tmp_path, saved_by, usable):
    store, codes = Store(tmp_path / "store"), {"attack": "a"}
    if saved_by is None:  # by a version that did not say so
        store.write("checkpoints", ABCD, {"state.pt": {"epochs": 1}})
    else:
        Checkpoint(store, ABCD, codes=saved_by).save({"epochs": 1})
    state = Checkpoint(store, ABCD, codes=codes).load(CPU)
    assert (state is not None) == usable
    assert store.has("checkpoints", ABCD) == usable


class Hostile:
    """A pickle of it makes a directory when it is read."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self):
        return os.mkdir, (str(self.target),)


@pytest.mark.parametrize("inside", [lambda hostile: hostile, lambda hostile: {"epochs": 1, "extra": hostile}])
@pytest.mark.parametrize("zipped", [True, False])
def test_a_checkpoint_runs_no_code(tmp_path, inside, zipped):
    store, target = Store(tmp_path / "s"), tmp_path / "made by the pickle"
    content = inside(Hostile(target))
    store.write("checkpoints", ABCD, {"state.pt": content if zipped else pickle.dumps(content)})
    with pytest.raises(Damaged, match="cannot be read: UnpicklingError"):
        store.state("checkpoints", ABCD, "state.pt", CPU)
    assert Checkpoint(store, ABCD).load(CPU) is None
    assert not target.exists()
    assert not store.has("checkpoints", ABCD)
