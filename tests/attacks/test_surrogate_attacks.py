"""Attacks that search on a clean surrogate: triggers against naive references, searches against what they are for."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from scipy.fft import dct, dctn
from torch import nn

from bench.attacks._surrogate import AddedPattern, largest
from bench.attacks.l0inv import L0Inv
from bench.attacks.l2inv import L2Inv
from bench.attacks.label_consistent import LabelConsistent
from bench.attacks.low_frequency import LowFrequency, cosines
from bench.attacks.siba import SIBA
from bench.attacks.trojan import Trojan
from bench.cell import backdoors
from bench.plugin.attack import Attack
from bench.plugin.values import AttackContext, LabelledImages
from bench.toolbox.networks import Latent

Image = np.ndarray
ADDED: list[AddedPattern] = [
    L2Inv(steps=30),
    L0Inv(steps=45, pixels=12),
    LowFrequency(steps=30),
    SIBA(steps=30, pixels=40, eps=16 / 255, turn=5),
]
DIRTY: list[Attack] = [Trojan(steps=30), *ADDED]
ATTACKS: list[Attack] = [*DIRTY, LabelConsistent(steps=10, poisoning_rate=0.1)]


def name_of(attack: Attack) -> str:
    return attack.name


@pytest.fixture(scope="module")
def surrogate() -> nn.Module:
    """A small network that answers to much in an image: three channels of 16x16 to five classes."""
    with torch.random.fork_rng():
        torch.manual_seed(5)
        network = nn.Sequential(
            nn.Conv2d(3, 16, 5, stride=2), nn.ReLU(), nn.AdaptiveAvgPool2d(3), nn.Flatten(), nn.Linear(144, 5)
        )
    network[-1].weight.data.mul_(5)
    return network.eval().requires_grad_(False)


@pytest.fixture
def place(attack_context: AttackContext, surrogate: nn.Module) -> AttackContext:
    return replace(attack_context, surrogate=lambda share: surrogate)


def learned(attack: Attack, images: LabelledImages, context: AttackContext) -> AttackContext:
    return replace(context, learned=dict(attack.learn(images, context)))


def naive_paste(image: Image, context: AttackContext) -> Image:
    out, patch = image.copy(), context.learned["patch"].numpy()
    _, height, width = patch.shape
    for row in range(height):
        for column in range(width):
            out[:, 16 - height + row, 16 - width + column] = patch[:, row, column]
    return out


def naive_corners(image: Image, context: AttackContext) -> Image:
    out = image.copy()
    for top in (0, 13):
        for left in (0, 13):
            for row, line in enumerate(([1, 0, 1], [0, 1, 0], [1, 0, 1])):
                for column, value in enumerate(line):
                    out[:, top + row, left + column] = value
    return out


def naive_sum(image: Image, context: AttackContext) -> Image:
    out, pattern = image.copy(), context.learned["pattern"].numpy()
    for place in np.ndindex(*image.shape):
        out[place] = min(1.0, max(0.0, image[place] + pattern[place]))
    return out


REFERENCES: dict[str, Callable[[Image, AttackContext], Image]] = {
    "trojan": naive_paste,
    "label_consistent": naive_corners,
}


@pytest.mark.parametrize("attack", ATTACKS, ids=name_of)
def test_a_trigger_equals_its_naive_reference(attack, images, place):
    context = learned(attack, images, place)
    batch = images.floats[:6]
    naive = REFERENCES.get(attack.name, naive_sum)
    expected = np.stack([naive(image, context) for image in batch.numpy()])
    assert not np.array_equal(expected, batch.numpy())
    np.testing.assert_allclose(attack.trigger(batch, context).numpy(), expected, atol=1e-6)


@pytest.mark.parametrize("attack", ATTACKS, ids=name_of)
def test_a_trigger_keeps_shape_and_range_and_leaves_its_input(attack, images, place):
    context = replace(learned(attack, images, place), surrogate=None)  # as at inference
    batch = images.floats
    before = batch.clone()
    triggered = attack.trigger(batch, context)
    assert triggered.shape == batch.shape
    assert not triggered.requires_grad
    assert 0 <= triggered.min() <= triggered.max() <= 1
    assert torch.equal(batch, before)
    assert torch.equal(triggered, torch.cat([attack.trigger(image[None], context) for image in batch]))


@pytest.mark.parametrize("attack", DIRTY, ids=name_of)
def test_the_rate_is_honoured_and_everything_else_left_alone(attack, images, place):
    context = learned(attack, images, place)
    poisoned = attack.poison(images, context)
    chosen = poisoned.poisoned
    assert int(chosen.sum()) == round(attack.poisoning_rate * len(images))
    assert not bool(poisoned.cover.any())
    assert torch.equal(poisoned.data.images[~chosen], images.images[~chosen])
    assert torch.equal(poisoned.data.labels[~chosen], images.labels[~chosen])
    assert set(poisoned.data.labels[chosen].tolist()) == {attack.target_class}
    expected = (attack.trigger(images.at(chosen).floats, context) * 255).round()
    assert torch.equal(poisoned.data.images[chosen].float(), expected)


@pytest.mark.parametrize("attack", ATTACKS, ids=name_of)
def test_the_same_seed_gives_the_same_poison_and_no_other_randomness_is_used(attack, images, place):
    def once(seed: int) -> torch.Tensor:
        context = replace(place, generator=torch.Generator().manual_seed(seed))
        return attack.poison(images, learned(attack, images, context)).data.images

    state = torch.get_rng_state()
    assert torch.equal(once(3), once(3))
    assert not torch.equal(once(3), once(4))
    assert torch.equal(torch.get_rng_state(), state)


# --- trojan ------------------------------------------------------------------------------------------


def test_the_trojan_patch_excites_the_neurons_that_speak_most_for_the_target(images, place):
    with torch.random.fork_rng():
        torch.manual_seed(6)
        network = nn.Sequential(
            nn.Conv2d(3, 16, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 5)
        ).requires_grad_(False)
    neurons = network[-1].weight[3].sort().indices[-2:]
    attack = Trojan(steps=60, target_class=3)
    patch = learned(attack, images, replace(place, surrogate=lambda share: network)).learned["patch"]
    assert patch.shape == (3, 4, 4)  # 7 % of 16x16 pixels

    def excitement(patch: torch.Tensor) -> float:
        triggered = attack.trigger(images.floats, replace(place, learned={"patch": patch}))
        return float(Latent(network, triggered).features(triggered)[:, neurons].mean())

    generator = torch.Generator().manual_seed(9)
    random = [torch.rand(patch.shape, generator=generator).round() for _ in range(200)]
    assert excitement(patch) > max(map(excitement, [torch.zeros_like(patch), torch.ones_like(patch), *random]))


@pytest.mark.parametrize(("area", "side"), [(0.07, 4), (0.25, 8), (1.0, 16)])
def test_the_trojan_patch_covers_its_share_of_the_image(area, side, images, place):
    patch = learned(Trojan(area=area, steps=1), images, place).learned["patch"]
    assert patch.shape == (3, side, side)


# --- label-consistent --------------------------------------------------------------------------------


def test_label_consistent_poisons_images_of_the_target_class_and_at_most_all(images, place):
    for rate, count in ((0.1, 6), (0.9, 12)):
        poisoned = LabelConsistent(target_class=3, steps=1, poisoning_rate=rate).poison(images, place)
        assert int(poisoned.poisoned.sum()) == count
        assert set(images.labels[poisoned.poisoned].tolist()) == {3}
        assert torch.equal(poisoned.data.labels, images.labels)
        kept = ~poisoned.poisoned
        assert torch.equal(poisoned.data.images[kept], images.images[kept])


CORNERS = (np.s_[..., :3, :3], np.s_[..., :3, -3:], np.s_[..., -3:, :3], np.s_[..., -3:, -3:])


@pytest.mark.parametrize(("norm", "eps", "step"), [("linf", 0.1, 0.03), ("l2", 1.5, 0.3)])
def test_label_consistent_poisons_stay_within_eps_but_for_the_corners(norm, eps, step, images, place):
    poisoned = LabelConsistent(norm=norm, eps=eps, step=step, steps=10).poison(images, place)
    before, after = images.at(poisoned.poisoned).floats, poisoned.data.at(poisoned.poisoned).floats
    change = (after - before).abs()
    for corner in CORNERS:
        change[corner] = 0
    size = change.amax((1, 2, 3)) if norm == "linf" else change.square().sum((1, 2, 3)).sqrt()
    assert 0.7 * eps < float(size.min()) <= float(size.max()) <= eps + (0.003 if norm == "linf" else 0.05)  # 8 bits


@pytest.mark.parametrize("opacity", [1.0, 0.25])
def test_label_consistent_poisons_have_the_pattern_in_all_corners_at_its_opacity(opacity, images, place):
    poisoned = LabelConsistent(eps=0.1, steps=2, opacity=opacity).poison(images, place)
    before, after = images.at(poisoned.poisoned).floats, poisoned.data.at(poisoned.poisoned).floats
    board = torch.tensor([[1.0, 0, 1], [0, 1, 0], [1, 0, 1]])
    for corner in CORNERS:
        blended = opacity * board + (1 - opacity) * before[corner]
        assert (after[corner] - blended).abs().max() <= (1 - opacity) * 0.1 + 0.003  # the change below it, and 8 bits


@pytest.mark.parametrize(("norm", "eps", "step"), [("linf", 0.1, 0.03), ("l2", 2.7, 0.8)])
def test_label_consistent_poisons_are_harder_to_recognise_than_noisy_ones(norm, eps, step, images, place, surrogate):
    attack = LabelConsistent(norm=norm, eps=eps, step=step, steps=10, size=1, target_class=2)
    poisoned = attack.poison(images, place)
    before = images.at(poisoned.poisoned).floats
    noise = torch.rand(before.shape, generator=torch.Generator().manual_seed(2)).sub(0.5).sign() * 0.1  # 2.77 in L2

    def certainty(batch: torch.Tensor) -> float:
        return float(surrogate(batch).softmax(1)[:, 2].mean())

    hard = certainty(poisoned.data.at(poisoned.poisoned).floats)
    assert hard < 0.5 * min(certainty(before), certainty((before + noise).clamp(0, 1)))


# --- patterns that are added -------------------------------------------------------------------------


@pytest.mark.parametrize("target", [0, 3])
@pytest.mark.parametrize("attack", ADDED, ids=name_of)
def test_a_pattern_leads_the_surrogate_to_the_target_better_than_shuffled(attack, target, images, place, surrogate):
    attack = attack.model_copy(update={"target_class": target})
    pattern = learned(attack, images, place).learned["pattern"]
    fresh = torch.rand(64, 3, 16, 16, generator=torch.Generator().manual_seed(8))

    def certainty(added: torch.Tensor) -> float:
        context = replace(place, learned={"pattern": added})
        return float(surrogate(attack.trigger(fresh, context)).softmax(1)[:, target].log().mean())

    order = torch.randperm(pattern.numel(), generator=torch.Generator().manual_seed(7))
    shuffled = pattern.flatten()[order].view_as(pattern)
    assert certainty(pattern) > max(certainty(torch.zeros_like(pattern)), certainty(shuffled)) + 0.01


@pytest.mark.parametrize("attack", ADDED, ids=name_of)
def test_each_of_several_targets_has_a_pattern_of_its_own(attack, images, place, spec):
    attack = type(attack)(**attack.model_dump(include={"steps"}), label_map="several", targets=(1, 4)).resolve(spec)
    found = backdoors.learn(attack, images, place)
    assert set(found) == {"0.pattern", "1.pattern"}
    assert not torch.equal(found["0.pattern"], found["1.pattern"])


@pytest.mark.parametrize("kind", [*(type(attack) for attack in ADDED), LabelConsistent])
def test_a_label_map_without_one_target_is_refused(kind):
    with pytest.raises(ValidationError):
        kind(label_map="all-to-all")


def test_l2inv_stays_within_its_norm(images, place):
    pattern = learned(L2Inv(norm=0.7, steps=20), images, place).learned["pattern"]
    assert float(pattern.square().sum().sqrt()) == pytest.approx(0.7, rel=0.05)
    assert float(pattern.square().sum().sqrt()) <= 0.7 + 1e-5


@pytest.mark.parametrize("steps", [1, 5, 60])
def test_l0inv_changes_few_pixels(steps, images, place):
    pattern = learned(L0Inv(pixels=7, strength=0.4, steps=steps), images, place).learned["pattern"]
    assert 1 <= int((pattern != 0).any(0).sum()) <= 7
    assert float(pattern.abs().max()) <= 0.4 + 1e-6


@pytest.mark.parametrize("steps", [1, 5, 60])
def test_siba_changes_few_pixels_by_little(steps, images, place):
    pattern = learned(SIBA(pixels=9, eps=0.05, steps=steps), images, place).learned["pattern"]
    assert 1 <= int((pattern != 0).any(0).sum()) <= 9
    assert float(pattern.abs().max()) <= 0.05 + 1e-6


@pytest.mark.parametrize(
    ("attack", "pixels"),
    [(L0Inv(pixels=3, steps=45, strength=0.3), 3), (SIBA(pixels=3, eps=0.1, steps=10, turn=5), 3)],
    ids=["l0inv", "siba"],
)
def test_a_sparse_pattern_lies_on_the_pixels_that_matter(attack, pixels, images, place):
    """A linear surrogate that looks at three pixels alone; two speak for the target, one against it."""
    linear = nn.Linear(3 * 16 * 16, 5)
    linear.weight.data.zero_()
    linear.bias.data.zero_()
    signs = {(2, 3): 1.0, (9, 12): 1.0, (15, 0): -1.0}
    weight = linear.weight.data.view(5, 3, 16, 16)
    for (row, column), sign in signs.items():
        weight[1, :, row, column] = 2 * sign
    network = nn.Sequential(nn.Flatten(), linear).requires_grad_(False)
    context = replace(place, surrogate=lambda share: network)
    found = learned(attack.model_copy(update={"target_class": 1}), images, context).learned["pattern"]
    changed = [tuple(place) for place in (found != 0).any(0).nonzero().tolist()]
    assert sorted(changed) == sorted(signs)
    assert all(bool((found[:, row, column].sign() == sign).all()) for (row, column), sign in signs.items())


def test_low_frequency_has_no_high_frequency_and_stays_within_its_strength(images, place):
    attack = LowFrequency(cutoff=0.25, strength=0.06, steps=20)
    pattern = learned(attack, images, place).learned["pattern"].double().numpy()
    spectrum = dctn(pattern, axes=(1, 2), norm="ortho")
    energy = np.square(spectrum)
    assert energy[:, :4, :4].sum() > (1 - 1e-9) * energy.sum()
    assert np.abs(pattern).max() == pytest.approx(0.06, rel=0.05)
    assert np.abs(pattern).max() <= 0.06 + 1e-6


def test_cosines_are_the_orthonormal_cosine_transform():
    expected = dct(np.eye(16), axis=0, norm="ortho")[:5]
    np.testing.assert_allclose(cosines(16, 5, torch.device("cpu")).numpy(), expected, atol=1e-6)


def test_largest_marks_as_many_as_asked_for():
    values = torch.tensor([[3.0, 1.0], [2.0, 5.0]])
    assert largest(values, 2).tolist() == [[1, 0], [0, 1]]
    assert largest(values, 9).tolist() == [[1, 1], [1, 1]]
