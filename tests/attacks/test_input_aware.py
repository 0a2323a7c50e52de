"""Input-aware: what a batch holds, what mask network and generator learn."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from attack_helpers import Image, after_training, flat_weights, with_learned

from bench.attacks._generator import Generator
from bench.attacks.input_aware import InputAware, InputAwareObjective, sameness

ATTACK = InputAware(target_class=2, mask_epochs=2, batch_size=20, width=4)


def put_trigger(image: Image, source: Image, generator: Generator, masks: Generator) -> Image:
    """``image`` with the trigger that the two networks give for ``source``, pixel by pixel."""
    with torch.no_grad():
        pattern, mask = (net(torch.from_numpy(source)[None])[0].numpy() for net in (generator, masks))
    changed = image.copy()
    channels, height, width = image.shape
    for row in range(height):
        for column in range(width):
            value = np.tanh(mask[0, row, column]) / 2 + 0.5
            weight = np.tanh(20 * value - 10) / 2 + 0.5
            for channel in range(channels):
                colour = np.tanh(pattern[channel, row, column]) / 2 + 0.5
                changed[channel, row, column] = (1 - weight) * image[channel, row, column] + weight * colour
    return changed


@pytest.fixture
def objective(images, attack_context) -> InputAwareObjective:
    return InputAwareObjective(ATTACK, with_learned(ATTACK, images, attack_context))


@pytest.mark.parametrize("label_map", ["all-to-one", "all-to-all"])
def test_a_batch_holds_triggered_images_cross_images_and_the_rest(images, attack_context, spec, classifier, label_map):
    attack = ATTACK.model_copy(update={"label_map": label_map}).resolve(spec)
    context = with_learned(attack, images, attack_context)
    objective = attack.objective(classifier, images, context)
    batch, labels = images.floats, images.labels
    mixed, mixed_labels, _ = objective.batch(batch, labels)
    mixed = mixed.detach().numpy()
    count = round(0.1 * len(images))
    assert torch.equal(mixed_labels[:count], attack.target(labels[:count]))
    assert torch.equal(mixed_labels[count:], labels[count:])  # cross images too
    networks = objective.generator, objective.masks
    rolled = np.roll(batch.numpy(), 1, 0)
    expected = batch.numpy().copy()
    for own in range(count):
        expected[own] = put_trigger(batch[own].numpy(), batch[own].numpy(), *networks)
        cross = count + own
        expected[cross] = put_trigger(batch[cross].numpy(), rolled[cross], *networks)
    np.testing.assert_allclose(mixed, expected, atol=1e-5)
    assert np.abs(expected[: 2 * count] - batch[: 2 * count].numpy()).max() > 0.1
    triggered = attack.apply(batch[:count], after_training(context, objective))
    np.testing.assert_allclose(triggered.numpy(), expected[:count], atol=1e-5)


def test_the_classifiers_gradients_come_from_the_cross_entropy_alone(objective, images, classifier):
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
    attack = ATTACK.model_copy(update={"mask_epochs": 40})
    network = attack.mask_network(with_learned(attack, images, attack_context))
    masks = ((20 * (network(images.floats).tanh() / 2 + 0.5) - 10).tanh() / 2 + 0.5).flatten(1)
    assert 1e-3 < masks.mean() < 0.04  # half of all pixels without training
    assert (masks[:30] - masks[30:]).abs().mean() > 1e-3


def test_the_generator_learns_to_lead_to_the_target_and_the_mask_stays(images, attack_context, classifier):
    attack = ATTACK.model_copy(update={"diversity": 0.0, "cross_ratio": 0.0})
    context = with_learned(attack, images, attack_context)
    everywhere = {**context.learned, "mask.direct.bias": torch.full((1,), 9.0)}
    context = replace(context, learned=everywhere)
    objective = InputAwareObjective(attack, context)
    masks = flat_weights(objective.masks)
    classifier.eval()

    def loss_of_target() -> float:
        triggered = attack.apply(images.floats, after_training(context, objective))
        return F.cross_entropy(classifier(triggered), torch.full_like(images.labels, 2)).item()

    before = loss_of_target()
    for _ in range(15):
        objective.loss(classifier, images.floats, images.labels, 0.0).backward()
    assert loss_of_target() < before - 0.1
    assert torch.equal(flat_weights(objective.masks), masks)


@pytest.mark.parametrize(("schedule", "rate"), [("linear", 0.0025), ("constant", 0.01)])
def test_the_generators_rate_falls_or_stays(images, attack_context, classifier, schedule, rate):
    attack = ATTACK.model_copy(update={"schedule": schedule})
    objective = InputAwareObjective(attack, with_learned(attack, images, attack_context))
    objective.loss(classifier, images.floats, images.labels, 0.75)
    assert [group["lr"] for group in objective.optimizer.param_groups] == [pytest.approx(rate)]
