"""No defense reaches test images, the trigger or the target; and none changes the network that it was given."""

import gc
import shutil
from types import ModuleType

import pytest
import torch

from bench.cell import backdoors, defend
from bench.cell.backdoors import TriggeredSet
from bench.cell.loaded import LoadedVictim
from bench.cell.workshop import Workshop
from bench.plan.plan import make_plan
from bench.plan.registry import Registry
from bench.plan.request import Request
from bench.plugin import Oracle, Repair, Runtime
from bench.plugin.attack import Attack
from bench.plugin.values import AttackContext, Context, Known, Secret, Splits
from bench.store.store import Store

REGISTRY = Registry()
DEFENSES = [
    entry.name
    for entry in REGISTRY.entries("defense")
    if entry.origin == "built-in" and not issubclass(REGISTRY.load("defense", entry.name), Oracle)
]
FEWER = {  # steps of the slowest; bna and nc still flag some classes, so that what follows a detection runs too
    "anp": "anp[epochs=20,step=0.1]",
    "bna": "bna[steps=20,refine_steps=10,align_steps=10,rule=mad,threshold=1]",
    "ft_sam": "ft_sam[epochs=4]",
    "nad": "nad[epochs=4]",
    "nc": "nc[steps=20,refine_steps=20]",
    "npd": "npd[epochs=2]",
    "sau": "sau[rounds=2]",
    "tac": "tac[controls=1,epochs=4]",
    "tsbd": "tsbd[epochs=4,forget_epochs=4]",
}
SECRETS = (Attack, AttackContext, Secret, Splits, Workshop, Store, LoadedVictim, TriggeredSet)


def reachable(*roots):
    """Every object that a plugin can get at from ``roots`` without importing something."""
    seen, waiting = {}, list(roots)
    while waiting:
        thing = waiting.pop()
        if id(thing) in seen or isinstance(thing, type | ModuleType):
            continue
        seen[id(thing)] = thing
        if hasattr(thing, "__globals__"):  # a function: what it closes over, not the module that it stands in
            waiting += [cell.cell_contents for cell in thing.__closure__ or ()]
            waiting += [thing.__defaults__, thing.__kwdefaults__, vars(thing)]
        else:
            waiting += gc.get_referents(thing)
            waiting += list(getattr(thing, "__dict__", {}).values())
    return list(seen.values())


def leaks(roots, test):
    """The secrets of the harness and the test images that can be reached from ``roots``, by name."""
    rows = {image.numpy().tobytes() for image in test.images}
    reached = []
    for thing in reachable(*roots):
        if isinstance(thing, SECRETS):
            reached.append(type(thing).__name__)
        elif isinstance(thing, torch.Tensor) and thing.shape[1:] == test.images.shape[1:] and thing.ndim == 4:
            pixels = thing if thing.dtype == torch.uint8 else (thing * 255).round().byte()
            reached += ["a test image"] * any(image.numpy().tobytes() in rows for image in pixels.detach())
    return reached


@pytest.fixture(scope="module")
def shop(grid, tmp_path_factory):
    """A workshop on a copy of the grid's store, where the victim of badnets is trained already."""
    root = shutil.copytree(grid[1].root, tmp_path_factory.mktemp("leakage") / "store")
    return Workshop(Registry(), Store(root), None, torch.device("cpu"))


@pytest.fixture
def cell(digits):
    """A function that gives the cell of a defense on that victim."""

    def planned(name):
        asked = {**digits, "defenses": FEWER.get(name, name), "attacks": "badnets", "reference": 60}
        [stage] = make_plan(Request(**asked), REGISTRY, None).cells
        return stage

    return planned


def test_a_leak_is_seen(shop, cell):
    test = shop.splits(cell("none").victim.dataset).test
    kind, device, generator = "cpu", torch.device("cpu"), torch.Generator()
    assert leaks([Known(), Context(device, generator)], test) == []
    attack = shop.plugin(cell("none").victim.attack)
    assert leaks([Context(device, generator, log=lambda line: repr(attack))], test) == [type(attack).__name__]
    assert leaks([Context(device, generator, progress=lambda share, held=shop: None)], test)
    assert leaks([Known(test.at(torch.arange(3)))], test) == ["a test image"]
    assert leaks([Known(suspects=test.floats[5:6]), kind], test) == ["a test image"]


@pytest.mark.parametrize("name", DEFENSES)
def test_a_defense_sees_no_test_image_no_trigger_and_no_target(name, shop, cell, monkeypatch):
    stage = cell(name)
    kind = REGISTRY.load("defense", name)
    test = shop.splits(stage.victim.dataset).test
    method = "repair" if issubclass(kind, Repair) else "guard"
    original, given = getattr(kind, method), []

    def closed(*_):
        raise AssertionError(f"{name} reached into the harness")

    def spied(self, model, known, context):
        given.append(leaks([model, known, context], test))
        state = {key: value.clone() for key, value in model.state_dict().items()}
        with pytest.MonkeyPatch.context() as shut:
            shut.setattr(Workshop, "splits", closed)
            shut.setattr(Store, "tensors", closed)
            shut.setattr(backdoors, "with_trigger", closed)
            shut.setattr(backdoors, "targets", closed)
            made = original(self, model, known, context)
            if issubclass(kind, Runtime):
                suspects = vars(known)["suspects"]  # which only those that declare it may ask for
                made(torch.rand(4, *test.images.shape[1:]) if suspects is None else suspects)
        if issubclass(kind, Runtime):
            assert all(torch.equal(value, model.state_dict()[key]) for key, value in state.items())
            assert not model.training
        return made

    monkeypatch.setattr(kind, method, spied)
    before = shop.store.tensors("victims", stage.victim.key, "model.safetensors")
    defend.make_cell(stage, shop)
    assert given == [[]]
    assert shop.store.record(stage.key).status == "done"
    after = shop.store.tensors("victims", stage.victim.key, "model.safetensors")
    assert all(torch.equal(before[key], after[key]) for key in before)
