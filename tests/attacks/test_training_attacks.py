"""Attacks that control training: what a step does to classifier and generator, and what the trigger needs later."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.attacks._generator import Generator, drawn, recalled, stored
from bench.attacks.badnets import BadNets
from bench.attacks.input_aware import InputAware, InputAwareObjective, sameness
from bench.attacks.lira import LIRA, LIRAObjective
from bench.attacks.norm_evader import NormEvader, conspicuousness, shift_norms
from bench.defenses._quadratic_program import smallest_shifts
from bench.plugin.attack import Attack, Objective
from bench.plugin.values import AttackContext, ImageSpec, LabelledImages
from bench.toolbox.training import Recipe, train

INPUT_AWARE = InputAware(target_class=2, mask_epochs=2, batch_size=20, width=4)
LEARNED = LIRA(target_class=2, epsilon=0.1, width=4)
GENERATING: list[Attack] = [INPUT_AWARE, LEARNED]
BY_NAME = pytest.mark.parametrize("attack", GENERATING, ids=lambda attack: attack.name)


@pytest.fixture
def classifier() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(4)
        return nn.Sequential(
            nn.Conv2d(3, 8, 3, stride=2), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(3), nn.Flatten(),
            nn.Linear(72, 5),
        )  # fmt: skip


def started(attack: Attack, images: LabelledImages, context: AttackContext) -> AttackContext:
    return replace(context, learned=dict(attack.learn(images, context)))


def finished(context: AttackContext, objective: Objective) -> AttackContext:
    return replace(context, learned={**context.learned, **objective.learned()})


def parameters(network: nn.Module) -> Tensor:
    return torch.cat([value.detach().flatten() for value in network.state_dict().values()]).clone()


def steps(objective: Objective, model: nn.Module, images: LabelledImages, share: float, count: int = 3) -> None:
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    for _ in range(count):
        loss = objective.loss(model, images.floats, images.labels, share)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


# --- what all of them owe the harness ----------------------------------------------------------------


@BY_NAME
def test_the_training_set_stays_as_it_is(attack, images, attack_context):
    poisoned = attack.poison(images, started(attack, images, attack_context))
    assert torch.equal(poisoned.data.images, images.images)
    assert torch.equal(poisoned.data.labels, images.labels)
    assert not bool(poisoned.poisoned.any() | poisoned.cover.any())


@BY_NAME
def test_a_trigger_keeps_shape_and_range_leaves_its_input_and_knows_no_batch(
    attack, images, attack_context, classifier
):
    context = started(attack, images, attack_context)
    objective = attack.objective(classifier, images, context)
    steps(objective, classifier, images, share=0.1)
    context = finished(context, objective)
    batch = images.floats
    before, random_state = batch.clone(), torch.get_rng_state()
    triggered = attack.trigger(batch, context)
    assert torch.equal(torch.get_rng_state(), random_state)
    assert torch.equal(batch, before)
    assert triggered.shape == batch.shape
    assert 0 <= triggered.min() <= triggered.max() <= 1
    assert not triggered.requires_grad
    one_by_one = torch.cat([attack.trigger(image[None], context) for image in batch])
    torch.testing.assert_close(triggered, one_by_one, atol=1e-5, rtol=0)


@BY_NAME
def test_the_same_seed_gives_the_same_trigger_and_the_global_generator_is_left_alone(
    attack, images, attack_context, classifier
):
    def once(seed: int) -> Tensor:
        context = replace(attack_context, generator=torch.Generator().manual_seed(seed))
        context = started(attack, images, context)
        return attack.trigger(images.floats, finished(context, attack.objective(classifier, images, context)))

    random_state = torch.get_rng_state()
    assert torch.equal(once(3), once(3))
    assert not torch.equal(once(3), once(4))
    assert torch.equal(torch.get_rng_state(), random_state)


@BY_NAME
def test_the_training_loop_drives_it(attack, images, attack_context, classifier):
    context = started(attack, images, attack_context)
    objective = attack.objective(classifier, images, context)
    at_start = objective.learned()
    recipe = Recipe(epochs=2, batch_size=16, learning_rate=0.05, schedule="one-cycle")
    train(classifier, images, recipe, torch.Generator().manual_seed(0), crop=1, objective=objective)
    changed = [name for name, value in objective.learned().items() if not torch.equal(value, at_start[name])]
    assert len(changed) > 5


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32), (3, 17, 30)])
def test_a_generator_fits_images_of_any_size_and_comes_back_from_what_was_stored(attack_context, shape):
    context = replace(attack_context, spec=ImageSpec(*shape, 5, (0.5,) * shape[0], (0.5,) * shape[0]))
    generator = drawn(2, 4, context)
    batch = torch.rand(4, *shape, generator=torch.Generator().manual_seed(0))
    maps = generator(batch)
    assert maps.shape == (4, 2, *shape[1:])
    again = recalled({"other.x": batch, **stored(generator, "a.")}, "a.", shape[0], 2, 4)
    torch.testing.assert_close(again(batch), maps)


# --- input-aware -------------------------------------------------------------------------------------


def naive_input_aware(image: np.ndarray, source: np.ndarray, generator: Generator, masks: Generator) -> np.ndarray:
    """``image`` with the trigger that the two networks give for ``source``, pixel by pixel."""
    with torch.no_grad():
        pattern, mask = (net(torch.from_numpy(source)[None])[0].numpy() for net in (generator, masks))
    out = image.copy()
    channels, height, width = image.shape
    for row in range(height):
        for column in range(width):
            value = np.tanh(mask[0, row, column]) / 2 + 0.5
            share = np.tanh(20 * value - 10) / 2 + 0.5
            for channel in range(channels):
                colour = np.tanh(pattern[channel, row, column]) / 2 + 0.5
                out[channel, row, column] = (1 - share) * image[channel, row, column] + share * colour
    return out


@pytest.fixture
def input_aware(images, attack_context) -> tuple[InputAwareObjective, AttackContext]:
    context = started(INPUT_AWARE, images, attack_context)
    return InputAwareObjective(INPUT_AWARE, context), context


@pytest.mark.parametrize("label_map", ["all-to-one", "all-to-all"])
def test_a_batch_holds_triggered_images_cross_images_and_the_rest(images, attack_context, spec, classifier, label_map):
    attack = INPUT_AWARE.model_copy(update={"label_map": label_map}).resolve(spec)
    context = started(attack, images, attack_context)
    objective = attack.objective(classifier, images, context)
    batch, labels = images.floats, images.labels
    mixed, mixed_labels, _ = objective.batch(batch, labels)
    mixed = mixed.detach().numpy()
    count = round(0.1 * len(images))
    assert torch.equal(mixed_labels[:count], attack.target(labels[:count]))
    assert torch.equal(mixed_labels[count:], labels[count:])  # cross images too
    generator, masks = objective.generator, objective.masks
    rolled = np.roll(batch.numpy(), 1, 0)
    expected = batch.numpy().copy()
    for place in range(count):
        expected[place] = naive_input_aware(batch[place].numpy(), batch[place].numpy(), generator, masks)
        cross = count + place
        expected[cross] = naive_input_aware(batch[cross].numpy(), rolled[cross], generator, masks)
    np.testing.assert_allclose(mixed, expected, atol=1e-5)
    assert np.abs(expected[: 2 * count] - batch[: 2 * count].numpy()).max() > 0.1
    triggered = attack.trigger(batch[:count], finished(context, objective))
    np.testing.assert_allclose(triggered.numpy(), expected[:count], atol=1e-5)


def test_the_classifiers_gradients_come_from_the_cross_entropy_alone(input_aware, images, classifier):
    objective, _ = input_aware
    batch, labels = images.floats, images.labels
    mixed, mixed_labels, _ = objective.batch(batch, labels)
    expected = torch.autograd.grad(F.cross_entropy(classifier(mixed), mixed_labels), list(classifier.parameters()))
    objective.loss(classifier, batch, labels, 0.0).backward()
    torch.testing.assert_close([parameter.grad for parameter in classifier.parameters()], list(expected))


def test_sameness_is_the_mean_ratio_of_distances():
    generator = torch.Generator().manual_seed(0)
    images, others, maps, other_maps = torch.rand(4, 5, 3, 6, 6, generator=generator)
    ratios = [
        (np.sqrt(np.mean((a - b) ** 2)) / np.sqrt(np.mean((c - d) ** 2)))
        for a, b, c, d in zip(*(part.numpy() for part in (images, others, maps, other_maps)), strict=True)
    ]
    assert sameness(images, others, maps, other_maps).item() == pytest.approx(np.mean(ratios), rel=0.01)
    assert sameness(images, others, maps, maps).isfinite()


def test_the_mask_network_learns_small_masks_that_differ(images, attack_context):
    attack = INPUT_AWARE.model_copy(update={"mask_epochs": 40})
    network = attack.mask_network(started(attack, images, attack_context))
    masks = ((20 * (network(images.floats).tanh() / 2 + 0.5) - 10).tanh() / 2 + 0.5).flatten(1)
    assert 1e-3 < masks.mean() < 0.04  # half of all pixels without training
    assert (masks[:30] - masks[30:]).abs().mean() > 1e-3


def test_the_generator_learns_to_lead_to_the_target_and_the_mask_stays(images, attack_context, classifier):
    attack = INPUT_AWARE.model_copy(update={"diversity": 0.0, "cross_ratio": 0.0})
    context = started(attack, images, attack_context)
    context = replace(context, learned={**context.learned, "mask.direct.bias": torch.full((1,), 9.0)})  # everywhere
    objective = InputAwareObjective(attack, context)
    masks = parameters(objective.masks)
    classifier.eval()

    def surprise() -> float:
        triggered = attack.trigger(images.floats, finished(context, objective))
        return F.cross_entropy(classifier(triggered), torch.full_like(images.labels, 2)).item()

    before = surprise()
    for _ in range(15):
        objective.loss(classifier, images.floats, images.labels, 0.0).backward()
    assert surprise() < before - 0.1
    assert torch.equal(parameters(objective.masks), masks)


# --- lira --------------------------------------------------------------------------------------------


def test_the_noise_is_what_the_generator_says_and_never_larger_than_epsilon(images, attack_context, classifier):
    objective = LEARNED.objective(classifier, images, attack_context)
    steps(objective, classifier, images, share=0.0)
    batch = images.floats
    context = finished(attack_context, objective)
    triggered = LEARNED.trigger(batch, context)
    assert isinstance(objective, LIRAObjective)
    maps = objective.generator(batch).detach().numpy()
    expected = np.clip(batch.numpy() + 0.1 * np.tanh(maps), 0, 1)
    np.testing.assert_allclose(triggered.numpy(), expected, atol=1e-5)
    assert 0.001 < (triggered - batch).abs().max() <= 0.1 + 1e-6


def test_the_generator_learns_in_the_first_phase_only(images, attack_context, classifier):
    objective = LIRAObjective(LEARNED, attack_context)
    at_start = parameters(objective.generator)
    steps(objective, classifier, images, share=0.0)
    after_first = parameters(objective.generator)
    assert not torch.equal(after_first, at_start)
    model = parameters(classifier)
    steps(objective, classifier, images, share=0.5)
    assert torch.equal(parameters(objective.generator), after_first)
    assert not torch.equal(parameters(classifier), model)


@pytest.mark.parametrize("share", [0.0, 0.9])
def test_the_classifiers_loss_weighs_clean_and_triggered_images(images, attack_context, classifier, share):
    attack = LIRA(target_class=2, alpha=0.3, poisoning_rate=0.5, width=4)
    objective = LIRAObjective(attack, attack_context)
    batch, labels = images.floats, images.labels
    triggered = attack.trigger(batch[:30], finished(attack_context, objective))
    logits = classifier(torch.cat((batch, triggered)))
    clean, led = F.cross_entropy(logits[:60], labels), F.cross_entropy(logits[60:], torch.full((30,), 2))
    expected = 0.3 * clean + 0.7 * led
    loss = objective.loss(classifier, batch, labels, share)
    torch.testing.assert_close(loss, expected, atol=1e-5, rtol=1e-4)
    gradients = torch.autograd.grad(expected, list(classifier.parameters()))
    loss.backward()
    found = [parameter.grad for parameter in classifier.parameters()]
    torch.testing.assert_close(found, list(gradients), atol=1e-5, rtol=1e-3)


def test_the_generator_leads_a_fixed_classifier_to_the_targets(images, attack_context, classifier, spec):
    attack = LIRA(label_map="all-to-all", epsilon=0.5, width=4).resolve(spec)
    objective = LIRAObjective(attack, attack_context)
    goal = (images.labels + 1) % 5
    classifier.eval()

    def surprise() -> float:
        return F.cross_entropy(classifier(attack.trigger(images.floats, finished(attack_context, objective))), goal)

    before = surprise()
    for _ in range(20):
        objective.loss(classifier, images.floats, images.labels, 0.0).backward()
    assert surprise() < before


# --- norm evader -------------------------------------------------------------------------------------


@pytest.fixture
def latents() -> tuple[Tensor, Tensor, Tensor]:
    """Features (80, 12), weight (6, 12), bias (6,) of a linear layer that classifies them fairly well."""
    generator = torch.Generator().manual_seed(2)
    weight = torch.randn(6, 12, generator=generator)
    features = 2 * weight[torch.arange(80) % 6] + torch.randn(80, 12, generator=generator)
    return features, weight, torch.randn(6, generator=generator)


def exact_norms(features: Tensor, weight: Tensor, bias: Tensor) -> list[float]:
    shifts = smallest_shifts(*(values.detach().double().numpy() for values in (features, weight, bias)))
    return [float(np.linalg.norm(shift)) for shift in shifts if shift is not None]


def test_the_norms_are_those_that_tac_finds(latents):
    np.testing.assert_allclose(shift_norms(*latents).numpy(), exact_norms(*latents), rtol=0.01)


def test_the_norms_gradient_is_that_of_the_exact_norms(latents):
    features, weight, bias = (values.double() for values in latents)
    variables = [features.requires_grad_(), weight.requires_grad_(), bias.requires_grad_()]
    gradients = torch.autograd.grad(shift_norms(features, weight, bias, steps=3000)[3], variables)
    generator = torch.Generator().manual_seed(0)
    for place, gradient in enumerate(gradients):
        direction = torch.randn(gradient.shape, generator=generator, dtype=torch.float64)
        moved = [
            [value.detach() + (sign * 1e-5 * direction if i == place else 0) for i, value in enumerate(variables)]
            for sign in (1, -1)
        ]
        up, down = (exact_norms(*values)[3] for values in moved)
        assert (gradient * direction).sum().item() == pytest.approx((up - down) / 2e-5, rel=1e-3)


def test_a_class_that_no_shift_reaches_has_a_finite_norm_and_gradient():
    weight = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, 0.0]], requires_grad=True)  # the last one wins nowhere
    features = torch.tensor([[3.0, 0.0], [-3.0, 1.0], [2.0, 2.0]])
    norms = shift_norms(features, weight, None)
    assert norms.isfinite().all()
    norms.sum().backward()
    assert weight.grad is not None
    assert weight.grad.isfinite().all()


def test_conspicuousness_counts_in_means_of_the_others_and_moves_the_target_alone():
    norms = torch.tensor([2.0, 1.0, 4.0, 6.0], requires_grad=True)
    value = conspicuousness(norms, 1, 0.9)
    assert value.item() == pytest.approx(abs(1 / 4 - 0.9))
    value.backward()
    assert norms.grad is not None
    assert norms.grad.tolist() == pytest.approx([0, -1 / 4, 0, 0])


def test_without_the_regulariser_it_is_badnets(images, attack_context, classifier):
    attack = NormEvader(target_class=1, weight=0)
    batch = images.floats
    assert torch.equal(attack.trigger(batch, attack_context), BadNets().trigger(batch, attack_context))
    ours, theirs = (
        kind(target_class=1).poison(images, replace(attack_context, generator=torch.Generator().manual_seed(2)))
        for kind in (NormEvader, BadNets)
    )
    assert torch.equal(ours.data.images, theirs.data.images)
    assert torch.equal(ours.poisoned, theirs.poisoned)
    assert int(ours.poisoned.sum()) == round(0.1 * len(images))
    objective = attack.objective(classifier.train(), images, attack_context)
    assert classifier.training
    torch.testing.assert_close(
        objective.loss(classifier, batch, images.labels, 0.5), F.cross_entropy(classifier(batch), images.labels)
    )


def test_the_regulariser_raises_the_norm_of_the_target_and_looks_at_clean_images_only(
    images, attack_context, classifier
):
    def ratio_after(weight: float) -> float:
        network = nn.Sequential(nn.Flatten(), nn.Linear(768, 16), nn.ReLU(), nn.Linear(16, 5))
        generator = torch.Generator().manual_seed(1)
        for parameter in network.parameters():
            nn.init.normal_(parameter, std=0.05, generator=generator)
        objective = NormEvader(target_class=1, weight=weight).objective(network, images, attack_context)
        optimizer = torch.optim.SGD(network.parameters(), lr=0.02, momentum=0.9)
        for _ in range(60):
            loss = objective.loss(network, images.floats, torch.where(images.labels == 0, 1, images.labels), 0.0)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        clean = images.at(images.labels > 1).floats
        norms = exact_norms(network[:3](clean), network[3].weight, network[3].bias)
        return norms[1] / np.mean(norms[:1] + norms[2:])

    plain, hidden = ratio_after(0), ratio_after(1)
    assert plain < 0.9
    assert hidden == pytest.approx(1, abs=0.08)
