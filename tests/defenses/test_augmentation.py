"""Augmentation of the reference images: every defense that has it varies what it sees, and only if it is asked to."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from planted import FOUR_CLASSES, context, normalised_victim
from torch import Tensor

from bench.defenses._augmentation import Augmenting
from bench.defenses._tac_evidence import control_network
from bench.errors import RequestError
from bench.plan.registry import Registry
from bench.plugin import Defense, ImageSpec, Known, augment

SPEC = ImageSpec(*FOUR_CLASSES.shape, classes=4, mean=(0.5,), std=(0.25,), crop=2, flip=True)
REGISTRY = Registry()
QUICK = {
    "anp": {"steps": 2},
    "i_bau": {"rounds": 1, "inner_steps": 1},
    "nad": {"epochs": 1, "teacher_epochs": 0},
    "nc": {"epochs": 1, "threshold": 0.1, "steps": 20, "refine_steps": 5},
    "tac": {"epochs": 1, "poisoned_class": 1, "augment": False},
    "true_tac": {"epochs": 1, "augment": False},
}
AUGMENTING = [
    entry.name
    for entry in REGISTRY.entries("defense")
    if entry.is_built_in and issubclass(REGISTRY.load("defense", entry.name), Augmenting)
]
REPAIRS = [name for name in AUGMENTING if name != "true_tac"]


def made(name: str, **parameters: object) -> Defense:
    usual = {} if name == "bnp" else QUICK.get(name, {"epochs": 1})
    plugin = REGISTRY.create("defense", name, {**usual, **parameters}).resolve(SPEC)
    assert isinstance(plugin, Defense)
    return plugin


def test_what_fine_tunes_or_prunes_on_varied_images_in_published_code_can_do_so_here() -> None:
    assert {"anp", "bnp", "fine_pruning", "fst", "ft", "ft_sam", "i_bau", "nad", "nc", "tac", "tsbd"} <= set(AUGMENTING)


@pytest.mark.parametrize("name", REPAIRS)
def test_crops_and_flips_change_the_repaired_network_and_their_absence_draws_nothing(name: str) -> None:
    ends = []
    for parameters in ({}, {"augment": True, "crop": 0, "flip": False}, {"augment": True}):
        known = Known(FOUR_CLASSES.draw(80, seed=1))
        repaired = made(name, **parameters).repair(normalised_victim(), known, context())
        ends.append(torch.cat([value.flatten().float() for value in repaired.state_dict().values()]))
    assert torch.equal(ends[0], ends[1])
    assert not torch.equal(ends[0], ends[2]) or name in ("anp", "bnp")  # these may prune the same channels
    assert ends[2].isfinite().all()


def test_bnp_takes_the_statistics_of_varied_images(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Tensor] = []
    monkeypatch.setattr("bench.defenses.bnp.input_statistics", lambda model, layers, images: seen.append(images) or {})
    data = FOUR_CLASSES.draw(80, seed=1)
    for flag in (False, True):
        made("bnp", augment=flag).repair(normalised_victim(), Known(data), context())
    assert torch.equal(seen[0], data.floats)
    generator = context().generator
    assert torch.equal(seen[1], augment(data.floats, generator, crop=2, flip=True))


def test_anp_trains_its_masks_on_varied_images(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Tensor] = []

    def record(
        self: object, model: object, layers: object, masks: list[Tensor], images: Tensor, *rest: object
    ) -> Tensor:
        seen.append(images)
        return masks[0].sum()

    monkeypatch.setattr("bench.defenses.anp.ANP._loss", record)
    for flag in (False, True):
        made("anp", augment=flag, steps=1).repair(normalised_victim(), Known(FOUR_CLASSES.draw(80, seed=1)), context())
    assert not torch.equal(*seen)
    generator = context().generator
    torch.randint(80, (128,), generator=generator)  # which images are in the batch
    assert torch.equal(seen[1], augment(seen[0], generator, crop=2, flip=True))


def test_crop_and_flip_are_the_data_sets_unless_they_are_given() -> None:
    for parameters, crop, flip in (
        ({"augment": True}, 2, True),
        ({"augment": True, "crop": 1}, 1, True),
        ({"augment": True, "flip": False}, 2, False),
        ({}, None, None),
    ):
        defense = made("ft", **parameters)
        assert (defense.crop, defense.flip) == (crop, flip)


def test_a_crop_without_augmentation_is_refused() -> None:
    with pytest.raises(RequestError, match="crop=2: expected with augment=true"):
        made("ft", crop=2)


@pytest.mark.parametrize("name", REPAIRS)
def test_it_is_said_if_the_data_set_does_not_say_how_to_vary_its_images(name: str) -> None:
    silent, lines = replace(SPEC, crop=None, flip=None), list[str]()
    defense = REGISTRY.create(
        "defense", name, {**({} if name == "bnp" else QUICK.get(name, {"epochs": 1})), "augment": True}
    )
    around = replace(context(), log=lines.append)
    defense.resolve(silent).repair(normalised_victim(), Known(FOUR_CLASSES.draw(80, seed=1)), around)
    assert any("are not augmented" in line for line in lines)


def test_control_networks_are_trained_with_the_same_crops_and_flips(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    record: Callable[..., None] = lambda *rest, crop, flip=False: seen.append((crop, flip))  # noqa: E731
    monkeypatch.setattr("bench.defenses._tac_evidence.train", record)
    data = FOUR_CLASSES.draw(40, seed=1)
    control_network(normalised_victim(), 1, 20, data, context())
    control_network(normalised_victim(), 1, 20, data, context(), crop=2, flip=True)
    assert seen == [(1, False), (2, True)]
