"""What holds for every attack, checked on every attack that the registry knows."""

from dataclasses import replace
from typing import Any, get_args

import pytest
import torch
from attack_helpers import (
    after_training,
    as_8_bits,
    assert_only_these_changed,
    differ,
    seeded,
    train_steps,
    with_learned,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from torch import Tensor, nn

from bench.plan.registry import Registry
from bench.plugin.attack import Attack
from bench.plugin.values import AttackContext, ImageSpec, LabelledImages, Poisoned

REGISTRY = Registry()
NAMES = [entry.name for entry in REGISTRY.entries("attack") if entry.origin == "built-in"]
COVERED = {"poisoning_rate": 0.2, "cover_rate": 0.4}
# attacks whose defaults take long or do not fit 60 images of 16x16 pixels, and attacks with several kinds of trigger
SETTINGS: dict[str, list[dict[str, Any]]] = {
    "adaptive_blend": [COVERED],
    "adaptive_patch": [{**COVERED, "size": 5}],
    "blend": [{}, {"picture": "noise"}],
    "bpp": [{}, {"levels": 4, "dithering": False}],
    "ctrl": [{"poisoning_rate": 0.1}],
    "input_aware": [{"mask_epochs": 2, "batch_size": 20, "width": 4}],
    "l0inv": [{"steps": 45, "pixels": 12}],
    "l2inv": [{"steps": 30}],
    "label_consistent": [{"steps": 10, "poisoning_rate": 0.1}],
    "lira": [{"epsilon": 0.1, "width": 4}],
    "low_frequency": [{"steps": 30}],
    "siba": [{"steps": 30, "pixels": 40, "eps": 16 / 255, "turn": 5}],
    "trojan": [{"steps": 30}],
}
NUMBER_OF_COVERS = {"adaptive_blend": 24, "adaptive_patch": 24, "bpp": 6, "wanet": 12}  # of 60 images
OTHER_TRIGGER_IN_TRAINING = {"adaptive_blend", "adaptive_patch", "label_consistent"}
LEAVES_THE_SET = {"none", "input_aware", "lira"}  # no attack, and triggers that are applied in the training step


def build(name: str, spec: ImageSpec, parameters: dict[str, Any] | None = None, **more: Any) -> Attack:
    """The attack with its first setting, or with ``parameters``."""
    chosen = SETTINGS.get(name, [{}])[0] if parameters is None else parameters
    attack = REGISTRY.create("attack", name, {**chosen, **more}).resolve(spec)
    assert isinstance(attack, Attack)
    return attack


def label_maps(name: str) -> tuple[str, ...]:
    return get_args(REGISTRY.load("attack", name).model_fields["label_map"].annotation)


def with_map(label_map: str) -> list[str]:
    return [name for name in NAMES if label_map in label_maps(name)]


def poisoned_and_trained(
    attack: Attack, images: LabelledImages, context: AttackContext, model: nn.Module
) -> tuple[Poisoned, AttackContext]:
    """The poisoned set, and the context of inference after a few training steps of ``model``."""
    context = with_learned(attack, images, context)
    poisoned = attack.poison(images, context)
    objective = attack.objective(model, poisoned.data, context)
    train_steps(objective, model, poisoned.data, share=0.1)
    return poisoned, replace(after_training(context, objective), surrogate=None)


VARIANTS = [
    pytest.param((name, setting), id="-".join([name, *(f"{key}={value}" for key, value in setting.items())]))
    for name in NAMES
    for setting in SETTINGS.get(name, [{}])
]
SAME_TRIGGER_IN_TRAINING = [
    variant for variant in VARIANTS if variant.values[0][0] not in OTHER_TRIGGER_IN_TRAINING | LEAVES_THE_SET
]


@pytest.fixture(params=VARIANTS)
def attack(request: pytest.FixtureRequest, spec: ImageSpec) -> Attack:
    """Every attack in each of its settings."""
    name, parameters = request.param
    return build(name, spec, parameters)


def test_every_setting_belongs_to_an_attack():
    assert SETTINGS.keys() | NUMBER_OF_COVERS.keys() | OTHER_TRIGGER_IN_TRAINING | LEAVES_THE_SET <= set(NAMES)


# --- the trigger -------------------------------------------------------------------------------------


# --- the poisoned set --------------------------------------------------------------------------------


@pytest.mark.parametrize("rate", [None, 0.3])
def test_as_many_images_are_poisoned_as_asked_for_and_nothing_else_changes(attack, rate, images, surrogate_context):
    attack = attack.model_copy(update={"poisoning_rate": rate} if rate else {})
    poisoned = attack.poison(images, with_learned(attack, images, surrogate_context))
    expected = 0 if attack.name in LEAVES_THE_SET else round(attack.poisoning_rate * len(images))
    if attack.clean_label:
        expected = min(expected, 12)  # the images of a class
    chosen = poisoned.poisoned
    assert int(chosen.sum()) == expected
    assert bool(differ(poisoned.data.images, images.images)[chosen].all())
    assert torch.equal(poisoned.data.labels[chosen], attack.target(images.labels[chosen]))
    assert_only_these_changed(poisoned, images)


@pytest.mark.parametrize("attack", SAME_TRIGGER_IN_TRAINING, indirect=True)
def test_poisoned_images_carry_the_trigger_of_inference(attack, images, surrogate_context):
    context = with_learned(attack, images, surrogate_context)
    poisoned = attack.poison(images, context)
    chosen = poisoned.poisoned
    assert torch.equal(poisoned.data.images[chosen], as_8_bits(attack.apply(images.at(chosen).floats, context)))


def test_cover_images_are_changed_and_keep_their_labels(attack, images, surrogate_context):
    poisoned = attack.poison(images, with_learned(attack, images, surrogate_context))
    cover = poisoned.cover
    assert int(cover.sum()) == NUMBER_OF_COVERS.get(attack.name, 0)
    assert not bool((cover & poisoned.poisoned).any())
    assert torch.equal(poisoned.data.labels[cover], images.labels[cover])
    assert bool(differ(poisoned.data.images, images.images)[cover].all())


@pytest.mark.parametrize("name", [name for name in NAMES if REGISTRY.load("attack", name).clean_label])
def test_a_clean_label_attack_keeps_all_labels_and_poisons_at_most_the_target_class(
    name, images, surrogate_context, spec
):
    attack = build(name, spec, target_class=3, poisoning_rate=0.9)
    poisoned = attack.poison(images, with_learned(attack, images, surrogate_context))
    assert torch.equal(poisoned.data.labels, images.labels)
    whole_class = images.labels == 3
    assert torch.equal(poisoned.poisoned, whole_class & (name not in LEAVES_THE_SET))


def test_the_same_seed_gives_the_same_poison_and_trigger_and_another_seed_does_not(
    attack, images, surrogate_context, classifier
):
    weights = {name: value.clone() for name, value in classifier.state_dict().items()}

    def once(seed: int) -> tuple[Tensor, Tensor]:
        classifier.load_state_dict(weights)
        poisoned, context = poisoned_and_trained(attack, images, seeded(surrogate_context, seed), classifier)
        return poisoned.data.images, attack.apply(images.floats, context)

    global_state = torch.get_rng_state()
    first, again, other = once(3), once(3), once(4)
    assert torch.equal(torch.get_rng_state(), global_state)
    assert all(map(torch.equal, first, again))
    same_poison, same_trigger = map(torch.equal, first, other)
    assert same_poison == (attack.name in LEAVES_THE_SET)
    assert not (attack.name in ("input_aware", "lira") and same_trigger)


# --- label maps --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=10)
@given(classes=st.integers(2, 50), data=st.data())
def test_all_to_one_assigns_every_class_to_the_target(name, classes, data):
    labels = torch.tensor(data.draw(st.lists(st.integers(0, classes - 1), min_size=1)))
    target = data.draw(st.integers(0, classes - 1))
    assigned = REGISTRY.create("attack", name, {"target_class": target, "classes": classes}).target(labels)
    assert assigned.tolist() == (labels.tolist() if name == "none" else [target] * len(labels))


@pytest.mark.parametrize("name", with_map("all-to-all"))
@settings(max_examples=10)
@given(classes=st.integers(2, 50), data=st.data())
def test_all_to_all_assigns_every_class_to_the_next(name, classes, data):
    labels = torch.tensor(data.draw(st.lists(st.integers(0, classes - 1), min_size=1)))
    attack = REGISTRY.create("attack", name, {"label_map": "all-to-all", "classes": classes})
    assert attack.target(labels).tolist() == [(label + 1) % classes for label in labels.tolist()]


@pytest.mark.parametrize("name", [name for name in with_map("all-to-all") if name not in LEAVES_THE_SET])
def test_all_to_all_poison_has_the_label_of_the_next_class(name, images, surrogate_context, spec):
    attack = build(name, spec, label_map="all-to-all", poisoning_rate=0.5)
    poisoned = attack.poison(images, with_learned(attack, images, surrogate_context))
    labels = poisoned.data.labels[poisoned.poisoned]
    assert torch.equal(labels, (images.labels[poisoned.poisoned] + 1) % 5)
    assert set(labels.tolist()) == set(range(5))


@pytest.mark.parametrize("name", with_map("several"))
def test_each_of_several_targets_has_a_trigger_of_its_own(name, images, surrogate_context, spec):
    parts = build(name, spec, label_map="several", targets=(0, 3, 4)).backdoors()
    assert [part.target(images.labels).unique().tolist() for part in parts] == [[0], [3], [4]]
    triggered = [part.apply(images.floats, with_learned(part, images, surrogate_context)) for part in parts]
    for first, second in ((0, 1), (0, 2), (1, 2)):
        assert not torch.equal(triggered[first], triggered[second])


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("label_map", ["all-to-one", "all-to-all", "several"])
def test_a_label_map_that_an_attack_does_not_declare_is_refused(name, label_map):
    kind = REGISTRY.load("attack", name)
    targets = {"targets": (1, 4)} if label_map == "several" else {}
    if label_map in label_maps(name):
        assert kind(label_map=label_map, **targets).label_map == label_map
    else:
        with pytest.raises(ValidationError):
            kind(label_map=label_map, **targets)
