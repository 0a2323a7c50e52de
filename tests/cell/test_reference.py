"""What a defender is given: drawn once, and without copies of the training set."""

import torch

from bench.cell.loaded import LoadedVictim
from bench.cell.reference import known
from bench.cell.workshop import Workshop
from bench.plan.plan import make_plan
from bench.plan.registry import Registry
from bench.plan.request import Request
from bench.plugin import LabelledImages
from bench.store.store import Store

REQUEST = Request(
    defenses="fire",
    attacks="badnets",
    models="resnet18[width=4]",
    datasets="digits[train_size=300]",
    reference=40,
    suspects=20,
)


def test_handing_out_reference_images_never_copies_the_training_set(tmp_path, monkeypatch):
    registry = Registry()
    [cell] = make_plan(REQUEST, registry, None).cells
    victim = LoadedVictim.open(cell.victim, Workshop(registry, Store(tmp_path / "store"), None, torch.device("cpu")))
    copied, at = [], LabelledImages.at

    def counted(self, index):
        taken = at(self, index)
        copied.append(len(taken))
        return taken

    whole = victim.train
    monkeypatch.setattr(LabelledImages, "at", counted)
    for _ in range(3):
        given = known(cell, victim)
    assert len(given.clean) == 40
    assert given.suspects.shape[0] == 20
    assert max(copied) <= 40 < len(whole)


def test_the_reference_order_is_drawn_once_for_a_data_set_and_seed(tmp_path, monkeypatch):
    registry, drawn = Registry(), []
    [cell] = make_plan(REQUEST, registry, None).cells
    victim = LoadedVictim.open(cell.victim, Workshop(registry, Store(tmp_path / "store"), None, torch.device("cpu")))
    generator = Workshop.generator
    monkeypatch.setattr(
        Workshop, "generator", lambda self, key, purpose: drawn.append(purpose) or generator(self, key, purpose)
    )
    images = [known(cell, victim).clean.images for _ in range(3)]
    assert drawn.count("reference") == 1
    assert all(torch.equal(some, images[0]) for some in images)
