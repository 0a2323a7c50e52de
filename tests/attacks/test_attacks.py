"""Triggers against naive per-image references, poisons against the rate and the labels that were asked for."""

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bench.attacks.badnets import BadNets
from bench.attacks.blend import Blend
from bench.attacks.none import NoAttack
from bench.attacks.sig import SIG
from bench.attacks.wanet import WaNet
from bench.plugin.attack import Attack
from bench.plugin.values import AttackContext, LabelledImages

Image = np.ndarray
ATTACKS: list[Attack] = [BadNets(), Blend(), Blend(picture="noise"), SIG(), WaNet(), NoAttack()]
POISONING = [attack for attack in ATTACKS if attack.name != "none"]


def name_of(attack: Attack) -> str:
    return f"{attack.name}-{getattr(attack, 'picture', '')}"


def learned(attack: Attack, images: LabelledImages, context: AttackContext) -> AttackContext:
    return replace(context, learned=dict(attack.learn(images, context)))


def naive_badnets(image: Image, context: AttackContext) -> Image:
    out = image.copy()
    _, height, width = image.shape
    for row in range(height - 3, height):
        for column in range(width - 3, width):
            out[:, row, column] = 1.0
    return out


def naive_blend(image: Image, context: AttackContext) -> Image:
    return 0.8 * image + 0.2 * context.learned["picture"].numpy()


def naive_sig(image: Image, context: AttackContext) -> Image:
    out = image.copy()
    for column in range(image.shape[2]):
        out[:, :, column] += 40 / 255 * math.sin(2 * math.pi * column * 6 / image.shape[2])
    return out.clip(0, 1)


def naive_wanet(image: Image, context: AttackContext) -> Image:
    """Bilinear sampling by hand at the field's coordinates, outside of the image black."""
    field = context.learned["field"][0].numpy()
    _, height, width = image.shape
    out = np.zeros_like(image)
    for row in range(height):
        for column in range(width):
            x, y = (field[row, column] + 1) / 2 * (np.array([width, height]) - 1)
            for r in (math.floor(y), math.floor(y) + 1):
                for c in (math.floor(x), math.floor(x) + 1):
                    if 0 <= r < height and 0 <= c < width:
                        out[:, row, column] += image[:, r, c] * (1 - abs(y - r)) * (1 - abs(x - c))
    return out


REFERENCES: list[tuple[Attack, Callable[[Image, AttackContext], Image]]] = [
    (BadNets(), naive_badnets),
    (Blend(), naive_blend),
    (Blend(picture="noise"), naive_blend),
    (SIG(), naive_sig),
    (WaNet(), naive_wanet),
]


@pytest.mark.parametrize(("attack", "naive"), REFERENCES, ids=[name_of(attack) for attack, _ in REFERENCES])
def test_a_trigger_equals_its_naive_reference(attack, naive, images, attack_context):
    context = learned(attack, images, attack_context)
    batch = images.floats[:6]
    expected = np.stack([naive(image, context) for image in batch.numpy()])
    np.testing.assert_allclose(attack.trigger(batch, context).numpy(), expected, atol=2e-5)


@pytest.mark.parametrize("attack", ATTACKS, ids=name_of)
def test_a_trigger_keeps_shape_and_range_and_leaves_its_input(attack, images, attack_context):
    context = learned(attack, images, attack_context)
    batch = images.floats
    before = batch.clone()
    triggered = attack.trigger(batch, context)
    assert triggered.shape == batch.shape
    assert 0 <= triggered.min() <= triggered.max() <= 1
    assert torch.equal(batch, before)
    one_by_one = torch.cat([attack.trigger(image[None], context) for image in batch])
    torch.testing.assert_close(triggered, one_by_one)


@pytest.mark.parametrize("attack", POISONING, ids=name_of)
def test_the_rate_is_honoured_and_everything_else_left_alone(attack, images, attack_context):
    context = learned(attack, images, attack_context)
    poisoned = attack.poison(images, context)
    touched = poisoned.poisoned | poisoned.cover
    assert int(poisoned.poisoned.sum()) == round(attack.poisoning_rate * len(images))
    assert torch.equal(poisoned.data.images[~touched], images.images[~touched])
    assert torch.equal(poisoned.data.labels[~poisoned.poisoned], images.labels[~poisoned.poisoned])
    chosen = poisoned.poisoned
    assert torch.equal(poisoned.data.labels[chosen], attack.target(images.labels[chosen]))
    expected = (attack.trigger(images.at(chosen).floats, context) * 255).round()
    assert torch.equal(poisoned.data.images[chosen].float(), expected)


def test_all_to_all_labels_the_next_class(images, attack_context, spec):
    attack = BadNets(label_map="all-to-all", poisoning_rate=0.5).resolve(spec)
    chosen = attack.poison(images, attack_context)
    assert torch.equal(chosen.data.labels[chosen.poisoned], (images.labels[chosen.poisoned] + 1) % 5)
    assert set(chosen.data.labels[chosen.poisoned].tolist()) == set(range(5))


def test_sig_poisons_only_the_target_class_and_at_most_all_of_it(images, attack_context):
    attack = SIG(target_class=3, poisoning_rate=0.9)
    poisoned = attack.poison(images, attack_context)
    assert torch.equal(poisoned.poisoned, images.labels == 3)
    assert torch.equal(poisoned.data.labels, images.labels)


def test_sig_may_use_a_stronger_signal_at_inference(images, attack_context):
    grey = torch.full((1, 3, 16, 16), 0.5)
    weak, strong = (SIG(delta=0.1, test_delta=value).trigger(grey, attack_context) for value in (None, 0.3))
    assert (weak - grey).abs().max() == pytest.approx(0.1, abs=1e-3)
    assert (strong - grey).abs().max() == pytest.approx(0.3, abs=1e-3)
    poisoned = SIG(delta=0.1, test_delta=0.3).poison(images, attack_context)
    change = (poisoned.data.images.float() - images.images.float()).abs().max() / 255
    assert change == pytest.approx(0.1, abs=0.003)


def test_wanet_covers_are_warped_otherwise_than_by_the_trigger(images, attack_context):
    attack = WaNet()
    context = learned(attack, images, attack_context)
    poisoned = attack.poison(images, context)
    assert int(poisoned.cover.sum()) == 2 * int(poisoned.poisoned.sum())
    assert not bool((poisoned.cover & poisoned.poisoned).any())
    as_trigger = (attack.trigger(images.at(poisoned.cover).floats, context) * 255).round()
    changed = poisoned.data.images[poisoned.cover].float()
    assert not torch.equal(changed, images.images[poisoned.cover].float())
    assert (changed - as_trigger).abs().mean() > 1


@pytest.mark.parametrize("attack", ATTACKS, ids=name_of)
def test_the_same_seed_gives_the_same_poison(attack, images, attack_context):
    def once(seed: int) -> torch.Tensor:
        context = replace(attack_context, generator=torch.Generator().manual_seed(seed))
        return attack.poison(images, learned(attack, images, context)).data.images

    assert torch.equal(once(3), once(3))
    if attack.name != "none":
        assert not torch.equal(once(3), once(4))


@given(st.integers(2, 50), st.data())
def test_label_maps_lead_every_class_where_they_say(classes, data):
    labels = torch.tensor(data.draw(st.lists(st.integers(0, classes - 1), min_size=1)))
    target = data.draw(st.integers(0, classes - 1))
    assert set(BadNets(target_class=target).target(labels).tolist()) == {target}
    to_all = BadNets(label_map="all-to-all", classes=classes).target(labels)
    assert to_all.tolist() == [(label + 1) % classes for label in labels.tolist()]
