"""Suspects: random by default, of few classes or impure if asked for, never of the test set."""

from dataclasses import replace

import pytest
import torch

from bench.cell import reference
from bench.cell.loaded import LoadedVictim
from bench.cell.workshop import Workshop
from bench.plan.plan import make_plan
from bench.plan.registry import Registry
from bench.plan.request import Request
from bench.plan.stages import CellStage
from bench.plugin.values import Known
from bench.store.store import Store

REGISTRY = Registry()
SIZE = {"datasets": "digits[train_size=300]", "models": "resnet18[width=4]", "reference": 40}


class Drawn:
    """What the defense of a cell is given, and where each image of it comes from."""

    def __init__(self, folder, **options: object) -> None:
        asked = {**SIZE, "attacks": "badnets", "defenses": "fire[direction=paired]", "suspects": 100, **options}
        [self.stage] = make_plan(Request.read(asked), REGISTRY, None).cells
        self.victim = opened(self.stage, folder)
        self.lines: list[str] = []
        self.known: Known = reference.known(self.stage, self.victim, self.lines.append)
        self.triggered = (self.known.suspects != self.known.originals).flatten(1).any(1)
        places = {image.numpy().tobytes(): place for place, image in enumerate(self.victim.train.images)}
        pixels = (self.known.originals * 255).round().byte()
        self.places = [places[image.numpy().tobytes()] for image in pixels]
        self.labels = self.victim.train.labels[self.places]


def opened(stage: CellStage, folder) -> LoadedVictim:
    return LoadedVictim.open(stage.victim, Workshop(REGISTRY, Store(folder / "store"), None, torch.device("cpu")))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"suspects_purity": 0.25},
        {"suspects_classes": 4},
        {"suspects_purity": 0.5, "suspects_classes": 8},
        {"attacks": "badnets[label_map=several,targets=2+5]", "suspects_purity": 0.5},
    ],
)
def test_suspects_are_disjoint_from_the_reference_set_and_never_of_the_test_set(options, tmp_path):
    drawn = Drawn(tmp_path, **options)
    clean = {image.numpy().tobytes() for image in drawn.known.clean.images}
    test = {image.numpy().tobytes() for image in drawn.victim.test.images}
    own = {drawn.victim.train.images[place].numpy().tobytes() for place in drawn.places}
    assert len(own) == len(drawn.places) == drawn.stage.suspects
    assert not own & clean
    assert not own & test


def test_random_suspects_are_of_all_classes_but_the_target_and_not_of_each_the_same_number(tmp_path):
    """Which is how they were drawn before: a stratified order takes 11 or 12 of each of the nine."""
    drawn = Drawn(tmp_path)
    counts = drawn.labels.bincount(minlength=10)
    assert counts[0] == 0
    assert counts[1:].min() > 0
    assert counts[1:].max() - counts[1:].min() > 2
    assert drawn.triggered.all()
    assert drawn.lines == []


def test_another_seed_draws_other_suspects_and_the_same_seed_the_same(tmp_path):
    first, again, other = (Drawn(tmp_path, seeds=seed) for seed in (0, 0, 1))
    assert torch.equal(first.known.suspects, again.known.suspects)
    assert not torch.equal(first.known.suspects, other.known.suspects)


@pytest.mark.parametrize("classes", [1, 2, 9])
def test_suspects_come_from_as_many_classes_as_asked_for(classes, tmp_path):
    drawn = Drawn(tmp_path, suspects=20, suspects_classes=classes)
    found = set(drawn.labels.tolist())
    assert len(found) == classes
    assert 0 not in found
    assert len(drawn.known.suspects) == 20


def test_the_classes_are_drawn_at_random(tmp_path):
    assert len({int(Drawn(tmp_path, suspects=10, suspects_classes=1, seeds=seed).labels[0]) for seed in range(6)}) > 2


@pytest.mark.parametrize("purity", [0.02, 0.5, 0.73, 1])
def test_an_impure_set_has_clean_images_that_are_their_own_originals_and_stand_anywhere(purity, tmp_path):
    drawn = Drawn(tmp_path, suspects_purity=purity)
    assert int(drawn.triggered.sum()) == round(100 * purity)
    assert (drawn.known.suspects[drawn.triggered][:, :, -3:, -3:] == 1).all()  # the patch of badnets
    assert 0 not in drawn.labels  # the clean ones are of the same classes
    if 0.1 < purity < 1:  # neither the first nor the last ones
        half = drawn.triggered[:50].float().mean()
        assert abs(float(half) - purity) < 0.25


def test_purity_does_not_change_which_images_are_suspected(tmp_path):
    pure, half = Drawn(tmp_path), Drawn(tmp_path, suspects_purity=0.5)
    assert pure.places == half.places


def test_against_no_attack_all_suspects_are_clean_images_of_any_class(tmp_path):
    drawn = Drawn(tmp_path, attacks="none")
    assert not drawn.triggered.any()
    assert set(drawn.labels.tolist()) == set(range(10))
    assert len(set(Drawn(tmp_path, attacks="none", suspects=10, suspects_classes=1).labels.tolist())) == 1


def test_fewer_suspects_than_asked_for_are_all_that_there_are_and_are_said_to_be_so(tmp_path):
    drawn = Drawn(tmp_path, suspects_classes=1, suspects_purity=0.5)
    count = len(drawn.known.suspects)
    [label] = set(drawn.labels.tolist())
    reference_set = drawn.known.clean.labels
    assert count == int((drawn.victim.train.labels == label).sum() - (reference_set == label).sum()) < 100
    assert int(drawn.triggered.sum()) == round(count / 2)
    assert drawn.lines == [
        f"{count} suspected images in place of 100: there are no more beside the reference set"
    ]  # fmt: skip


def test_fewer_classes_than_asked_for_are_said_to_be_so(tmp_path):
    whole = Drawn(tmp_path, suspects=20)
    few = replace(whole.victim, train=whole.victim.train.at(whole.victim.train.labels < 4))
    few.workshop.orders.clear()
    lines: list[str] = []
    reference.known(replace(whole.stage, classes=5), few, lines.append)
    assert lines == ["suspected images of 3 classes in place of 5"]


def test_without_two_triggered_images_the_cell_fails_and_says_why(tmp_path):
    whole = Drawn(tmp_path, suspects=20)
    labels = whole.victim.train.labels
    only = (labels == 0) | (torch.arange(len(labels)) == int((labels == 4).nonzero()[0, 0]))
    few = replace(whole.victim, train=whole.victim.train.at(only))
    few.workshop.orders.clear()
    with pytest.raises(ValueError, match=r"^suspects: [01] triggered images could be had: expected at least 2$"):
        reference.known(replace(whole.stage, reference=5), few)


def test_the_draw_of_an_oracle_is_as_it_was(tmp_path):
    """Stratified, and not by the draw of suspects: its cells have their old keys."""
    stages = [
        make_plan(Request.read({**SIZE, "attacks": "badnets", "defenses": "true_tac", **options}), REGISTRY, None).cells
        for options in ({}, {"suspects_purity": 0.5, "suspects_classes": 1})
    ]
    [one], [other] = stages
    assert one.key == other.key
    secret = reference.secret(one, opened(one, tmp_path))
    counts = secret.originals.labels.bincount(minlength=10)
    assert len(secret.targets) == 40
    assert counts[0] == 0
    assert counts[1:].max() - counts[1:].min() <= 2
