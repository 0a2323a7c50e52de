"""What a defender is given: never from the test set, drawn once, and without copies of the training set."""

import pytest
import torch

from bench.cell.loaded import LoadedVictim
from bench.cell.reference import known
from bench.cell.workshop import Workshop
from bench.plan.plan import make_plan
from bench.plan.registry import Registry
from bench.plan.request import Request
from bench.plan.stages import CellStage
from bench.plugin import LabelledImages
from bench.store.store import Store

REGISTRY = Registry()


@pytest.fixture
def cell(digits) -> CellStage:
    """FIRE against badnets, with 40 reference images and 20 suspects."""
    [stage] = make_plan(Request(**digits, defenses="fire", attacks="badnets"), REGISTRY, None).cells
    return stage


@pytest.fixture
def untrained(cell, tmp_path) -> LoadedVictim:
    """The victim of ``cell`` before its training."""
    return LoadedVictim.open(cell.victim, Workshop(REGISTRY, Store(tmp_path / "store"), None, torch.device("cpu")))


def test_reference_and_suspects_are_disjoint_and_never_from_the_test_set(cell, grid):
    shop = Workshop(REGISTRY, grid[1], None, torch.device("cpu"))
    stage = CellStage(cell.victim, cell.defense, cell.reference, cell.suspects, pairs=True)
    given = known(stage, LoadedVictim.read(cell.victim, shop))
    splits = shop.splits(cell.victim.dataset)
    clean = {image.numpy().tobytes() for image in given.clean.images}
    originals = {(image * 255).round().byte().numpy().tobytes() for image in given.originals}
    test = {image.numpy().tobytes() for image in splits.test.images}
    train = {image.numpy().tobytes() for image in splits.train.images}
    assert len(clean) == 40
    assert len(originals) == 20
    assert not clean & originals
    assert not (clean | originals) & test
    assert clean | originals <= train
    assert given.clean.labels.bincount(minlength=10).min() >= 3
    assert (given.suspects[:, :, -3:, -3:] == 1).all()  # the patch of badnets


def test_handing_out_reference_images_never_copies_the_training_set(cell, untrained, monkeypatch):
    copied, at = [], LabelledImages.at

    def counted(self, index):
        taken = at(self, index)
        copied.append(len(taken))
        return taken

    whole = untrained.train
    monkeypatch.setattr(LabelledImages, "at", counted)
    for _ in range(3):
        given = known(cell, untrained)
    assert len(given.clean) == 40
    assert given.suspects.shape[0] == 20
    assert max(copied) <= 40 < len(whole)


def test_the_reference_order_is_drawn_once_for_a_data_set_and_seed(cell, untrained, monkeypatch):
    drawn, generator = [], Workshop.generator
    monkeypatch.setattr(
        Workshop, "generator", lambda self, key, purpose: drawn.append(purpose) or generator(self, key, purpose)
    )
    images = [known(cell, untrained).clean.images for _ in range(3)]
    assert drawn.count("reference") == 1
    assert all(torch.equal(some, images[0]) for some in images)
