"""Attacks that poison every batch: what a batch holds, what the attacker then controls, and how training continues."""

import pytest
import torch
import torch.nn.functional as F
from attack_helpers import flat_weights, seeded, train_steps, with_learned

from bench.attacks.bpp import BPP
from bench.attacks.wanet import WaNet
from bench.plan.profiles import PROFILES
from bench.plan.registry import Registry
from bench.plugin import RequestError

RATE = {"poisoning_rate": 0.2, "target_class": 2}  # 12 of 60 images
ATTACKS = [WaNet(**RATE), BPP(levels=3, dithering=False, negative_ratio=2.0, **RATE)]
IN_BATCHES = [attack.model_copy(update={"poisons": "batches"}) for attack in ATTACKS]
each = pytest.mark.parametrize("attack", IN_BATCHES, ids=lambda attack: attack.name)


@each
def test_the_set_stays_clean_and_a_batch_holds_triggered_images_covers_and_the_rest(
    attack, images, attack_context, classifier
):
    context = with_learned(attack, images, attack_context)
    poisoned = attack.poison(images, context)
    assert torch.equal(poisoned.data.images, images.images)
    assert not (poisoned.poisoned | poisoned.cover).any()
    objective = attack.objective(classifier, images, context)
    mixed, labels = objective.mixed(images.floats), objective.labels(images.labels)
    torch.testing.assert_close(mixed[:12], attack.apply(images.floats[:12], context))
    assert (labels[:12] == 2).all()
    assert torch.equal(labels[12:], images.labels[12:])
    changed = (mixed - images.floats).flatten(1).abs().amax(1) > 1e-3
    assert changed[:36].all()
    assert not changed[36:].any()
    assert (mixed[12:36] - attack.apply(images.floats[12:36], context)).flatten(1).abs().amax(1).gt(1e-3).all()


def test_a_negative_image_of_a_batch_gets_the_quantisation_error_of_another(images, attack_context, classifier):
    attack = IN_BATCHES[1]
    mixed = attack.objective(classifier, images, attack_context).mixed(images.floats)
    errors = attack.apply(images.floats, attack_context) - images.floats
    for index in range(12, 36):
        candidates = (images.floats[index] + errors).clamp(0, 1)
        same = (candidates - mixed[index]).flatten(1).abs().amax(1).lt(1e-6).nonzero()[:, 0].tolist()
        assert same
        assert index not in same


def test_covers_of_warped_batches_are_drawn_anew_and_the_trigger_stays(images, attack_context, classifier):
    context = with_learned(IN_BATCHES[0], images, attack_context)
    objective = IN_BATCHES[0].objective(classifier, images, context)
    first, second = objective.mixed(images.floats), objective.mixed(images.floats)
    assert torch.equal(first[:12], second[:12])
    assert not torch.equal(first[12:36], second[12:36])


@each
def test_the_loss_is_the_cross_entropy_of_the_mixed_batch(attack, images, attack_context, classifier):
    context = with_learned(attack, images, attack_context)
    objective, same = (attack.objective(classifier, images, seeded(context, 3)) for _ in range(2))
    expected = F.cross_entropy(classifier(same.mixed(images.floats)), same.labels(images.labels))
    torch.testing.assert_close(objective.loss(classifier, images.floats, images.labels, 0.0), expected)


@each
def test_a_training_that_is_interrupted_continues_as_if_it_had_not_been(attack, images, attack_context, classifier):
    context = with_learned(attack, images, attack_context)
    at_start = {name: value.clone() for name, value in classifier.state_dict().items()}
    ends = []
    for interrupted in (False, True):
        classifier.load_state_dict(at_start)
        objective = attack.objective(classifier, images, seeded(context, 3))
        train_steps(objective, classifier, images, share=0.0, count=2)
        if interrupted:
            saved = objective.state()
            objective = attack.objective(classifier, images, seeded(context, 4))
            objective.restore(saved)
        train_steps(objective, classifier, images, share=0.5, count=2)
        ends.append(flat_weights(classifier))
    assert torch.equal(*ends)


@pytest.mark.parametrize(
    ("data", "batches"), list(zip(ATTACKS, IN_BATCHES, strict=True)), ids=lambda attack: attack.name
)
def test_who_poisons_batches_controls_the_training_as_the_published_attack_does(data, batches):
    assert (data.controls, batches.controls) == ("data", "training")
    assert type(data).controls == "data"
    assert type(data).published_controls == "training"


def test_every_attack_whose_published_form_controls_the_training_has_it_as_an_option_and_in_the_profile_paper():
    registry = Registry()
    plugins = [registry.load("attack", entry.name) for entry in registry.entries("attack")]
    marked = [plugin for plugin in plugins if plugin.published_controls]
    assert {plugin.name for plugin in marked} >= {"wanet", "bpp"}
    for plugin in marked:
        assert plugin().controls != plugin.published_controls
        assert plugin(poisons="batches").controls == plugin.published_controls
        assert plugin(**PROFILES["paper"].parameters[plugin.name]).controls == plugin.published_controls


def test_batches_for_several_targets_are_refused(spec):
    attack = WaNet(poisons="batches", label_map="several", targets=(0, 1))
    with pytest.raises(RequestError, match="poisons=batches: expected label_map"):
        attack.resolve(spec)
