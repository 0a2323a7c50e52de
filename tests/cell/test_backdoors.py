"""Label maps, several targets with a trigger each, and attacks that control the training of their victim."""

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import pandas as pd
import pytest
import tiny
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

import bench
from bench.attacks.badnets import BadNets
from bench.attacks.blend import Blend
from bench.attacks.wanet import WaNet
from bench.cell import backdoors, metrics
from bench.cell.victim import make_victim
from bench.cell.workshop import Workshop
from bench.errors import RequestError
from bench.plan.plan import make_plan
from bench.plan.recipes import RECIPES
from bench.plan.registry import Registry
from bench.plan.request import Request
from bench.plugin.attack import Attack, Objective
from bench.plugin.values import AttackContext, ImageSpec, LabelledImages
from bench.store.store import Store
from bench.toolbox.training import train

SEVERAL = {"label_map": "several", "targets": (1, 4)}


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def learned(attack: Attack, images: LabelledImages, context: AttackContext) -> AttackContext:
    return replace(context, learned=backdoors.learn(attack, images, context))


# --- several targets ---------------------------------------------------------------------------------


@pytest.mark.parametrize("attack", [BadNets(**SEVERAL), Blend(**SEVERAL), WaNet(**SEVERAL)], ids=lambda a: a.name)
def test_every_target_has_its_own_trigger_and_equally_many_poisoned_images(attack, images, spec, attack_context):
    attack = attack.resolve(spec)
    context = learned(attack, images, attack_context)
    poisoned = backdoors.poison(attack, images, context)
    labels = poisoned.data.labels[poisoned.poisoned]
    assert sorted(labels.unique().tolist()) == [1, 4]
    assert (labels == 1).sum() == (labels == 4).sum() == round(0.1 * len(images) / 2)
    untouched = ~(poisoned.poisoned | poisoned.cover)
    assert torch.equal(poisoned.data.images[untouched], images.images[untouched])
    assert torch.equal(poisoned.data.labels[~poisoned.poisoned], images.labels[~poisoned.poisoned])
    everything = backdoors.with_trigger(attack.backdoors(), images, generator(0), context)
    assert sorted(everything.targets.unique().tolist()) == [1, 4]
    parts = enumerate(attack.backdoors())
    one, other = (part.apply(images.floats, backdoors._context_of(number, 2, context)) for number, part in parts)
    assert not torch.equal(one, other)


def test_wrong_targets_are_refused_in_one_line(spec):
    with pytest.raises(RequestError, match=r"targets=1\+1: expected two or more different classes"):
        BadNets(label_map="several", targets=(1, 1)).resolve(spec)
    with pytest.raises(RequestError, match="targets=3: expected two or more"):
        BadNets(label_map="several", targets=(3,)).resolve(spec)
    with pytest.raises(RequestError, match=r"targets=1\+2: expected with label_map=several"):
        BadNets(targets=(1, 2)).resolve(spec)
    with pytest.raises(RequestError, match=r"targets=\(\): expected with label_map=several"):
        BadNets(label_map="several").resolve(spec)
    with pytest.raises(RequestError, match="targets=7: expected a class below 5"):
        BadNets(label_map="several", targets=(1, 7)).resolve(spec)


@given(st.integers(2, 4), st.integers(10, 80), st.integers(0, 99))
def test_images_are_assigned_in_equal_shares_and_follow_the_label_map_of_their_trigger(count, images, seed):
    attack = BadNets(label_map="several", targets=tuple(range(count))).resolve(ImageSpec(1, 8, 8, 5, (0.5,), (0.5,)))
    assignment = backdoors.assign(count, images, generator(seed))
    shares = assignment.bincount(minlength=count)
    assert int(shares.max() - shares.min()) <= 1
    labels = torch.arange(images) % 5
    targets = backdoors.targets(attack.backdoors(), labels, assignment)
    assert targets.tolist() == assignment.tolist()  # target number k is class k here


class Odd(BadNets):
    """An attack whose targets are what it was made with."""

    given: object = None

    def target(self, labels):
        return self.given


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (torch.tensor([1]), "int64 (1,)"),
        (torch.tensor(1), "int64 ()"),
        (torch.ones(3, 1, dtype=torch.int64), "int64 (3, 1)"),
        (torch.ones(3), "float32 (3,)"),
        ([1, 1, 1], "a list"),
        (None, "a NoneType"),
    ],
    ids=["one", "a number", "a column", "floats", "a list", "nothing"],
)
def test_targets_that_are_not_a_label_for_each_image_are_refused(given, said):
    wanted = rf"badnets: target gave {re.escape(said)}, expected int64 \(3,\)"
    with pytest.raises(ValueError, match=wanted):
        backdoors.targets([Odd(given=given)], torch.zeros(3, dtype=torch.int64), torch.zeros(3, dtype=torch.int64))


def test_metrics_of_several_targets_against_a_case_worked_out_by_hand():
    #                         target 1: success, own class, not eligible | target 4: success, other, not eligible
    labels = torch.tensor([0, 2, 1, 0, 3, 4])
    targets = torch.tensor([1, 1, 1, 4, 4, 4])
    predicted = torch.tensor([1, 2, 1, 4, 0, 4])
    assert metrics.attack_success(predicted, labels, targets) == 2 / 4
    assert metrics.robust_accuracy(predicted, labels, targets) == 1 / 4


def test_metrics_of_all_to_all_against_a_case_worked_out_by_hand():
    attack = BadNets(label_map="all-to-all", classes=3)
    labels = torch.tensor([0, 1, 2, 2])
    targets = backdoors.targets(attack.backdoors(), labels, torch.zeros(4, dtype=torch.int64))
    assert targets.tolist() == [1, 2, 0, 0]  # every image is eligible: no class is its own target
    predicted = torch.tensor([1, 1, 0, 1])
    assert metrics.attack_success(predicted, labels, targets) == 2 / 4
    assert metrics.robust_accuracy(predicted, labels, targets) == 1 / 4


# --- from the request to the record -------------------------------------------------------------------------------


def run(store: Path, **request: object) -> pd.DataFrame:
    return bench.run(
        datasets="digits[train_size=300]",
        models="resnet18[width=4]",
        reference=40,
        suspects=20,
        plugin=[tiny.PLUGIN_FOLDER / "controls.py", tiny.PLUGIN_FOLDER / "curious.py"],
        store=store,
        executor="inline",
        **request,
    ).frame


def test_several_targets_reach_the_record(tmp_path):
    attack = "badnets[label_map=several,targets=2+5,poisoning_rate=0.3]"
    [row] = run(tmp_path, defenses="countstriggers", attacks=attack).to_dict("records")
    assert row["status"] == "done", row["reason"]
    assert json.loads(row["targets"]) == [2, 5]
    assert row["n_poisoned"] == 90
    assert row["n_test"] - row["n_triggered"] == pytest.approx(row["n_test"] / 10, abs=12)
    suspects = json.loads(row["diagnostics"])["triggers"]
    assert sum(suspects) == 20
    assert min(suspects) >= 3  # suspects carry both triggers


def test_what_training_learns_reaches_the_trigger(tmp_path):
    [row] = run(tmp_path, defenses="none", attacks="controls").to_dict("records")
    assert row["status"] == "done", row["reason"]
    assert row["n_poisoned"] == 0
    assert row["linf"] == pytest.approx(0.3, abs=0.003)
    stored = Store(tmp_path).tensors("victims", row["victim_key"], "learned.safetensors")
    steps = -(-300 // RECIPES["quick"].batch_size) * RECIPES["quick"].epochs
    assert int(stored["seen"]) == 300 * RECIPES["quick"].epochs
    assert stored["shares"].tolist() == pytest.approx([0, (steps - 1) / steps])


# --- the objective in the training loop --------------------------------------------------------------


class Half(Objective):
    def loss(self, model: nn.Module, images: Tensor, labels: Tensor, share: float) -> Tensor:
        return super().loss(model, images, labels, share) / 2


def weights(images: LabelledImages, objective: Objective | None) -> Mapping[str, Tensor]:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, 5))
    recipe = RECIPES["quick"].model_copy(update={"epochs": 1, "momentum": 0.0, "weight_decay": 0.0})
    train(model, images, recipe, generator(), objective=objective)
    return model.state_dict()


def test_the_default_objective_is_the_cross_entropy_and_another_takes_its_place(images):
    plain, same, half = (weights(images, objective) for objective in (None, Objective(), Half()))
    assert all(torch.equal(plain[name], same[name]) for name in plain)
    assert not torch.equal(plain["1.weight"], half["1.weight"])


# --- the test split is the harness's own -------------------------------------------------------------


class Spy(BadNets):
    name: ClassVar[str] = "spy"
    handed: ClassVar[list[Tensor]] = []

    def learn(self, train: LabelledImages, context: AttackContext) -> Mapping[str, Tensor]:
        self.handed.append(train.images)
        return {}

    def poison(self, train: LabelledImages, context: AttackContext):
        self.handed.append(train.images)
        return super().poison(train, context)

    def objective(self, model: nn.Module, train: LabelledImages, context: AttackContext) -> Objective:
        self.handed.append(train.images)
        return super().objective(model, train, context)


def test_no_attack_is_handed_a_test_image_before_its_victim_is_trained(monkeypatch, tmp_path):
    registry = Registry()
    request = Request(defenses="none", attacks="badnets", datasets="digits[train_size=100]", models="resnet18[width=4]")
    [cell] = make_plan(request, registry, Path()).cells
    shop = Workshop(registry, Store(tmp_path), Path(), torch.device("cpu"))
    splits = shop.splits(cell.victim.dataset)
    create = registry.create
    monkeypatch.setattr(registry, "create", lambda kind, name, parameters: (
        Spy(**parameters) if kind == "attack" else create(kind, name, parameters)
    ))  # fmt: skip
    make_victim(cell.victim, shop)
    training = {image.numpy().tobytes() for image in splits.train.images}
    assert len(Spy.handed) == 3
    for images in Spy.handed[:2]:
        assert all(image.numpy().tobytes() in training for image in images)
    changed = [image for image in Spy.handed[2] if image.numpy().tobytes() not in training]
    assert len(changed) <= 10  # those that the attack poisoned itself
