"""LIRA: the noise, the two phases, and the losses of classifier and generator."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from attack_helpers import after_training, flat_weights, train_steps

from bench.attacks.lira import LIRA, LIRAObjective

ATTACK = LIRA(target_class=2, epsilon=0.1, width=4)


def test_the_noise_is_the_generators_and_never_larger_than_epsilon(images, attack_context, classifier):
    objective = ATTACK.objective(classifier, images, attack_context)
    train_steps(objective, classifier, images, share=0.0)
    batch = images.floats
    triggered = ATTACK.apply(batch, after_training(attack_context, objective))
    assert isinstance(objective, LIRAObjective)
    maps = objective.generator(batch).detach().numpy()
    expected = np.clip(batch.numpy() + 0.1 * np.tanh(maps), 0, 1)
    np.testing.assert_allclose(triggered.numpy(), expected, atol=1e-5)
    assert 0.001 < (triggered - batch).abs().max() <= 0.1 + 1e-6


def test_the_generator_learns_in_the_first_phase_only(images, attack_context, classifier):
    objective = LIRAObjective(ATTACK, attack_context)
    at_start = flat_weights(objective.generator)
    train_steps(objective, classifier, images, share=0.0)
    after_first = flat_weights(objective.generator)
    assert not torch.equal(after_first, at_start)
    model = flat_weights(classifier)
    train_steps(objective, classifier, images, share=0.5)
    assert torch.equal(flat_weights(objective.generator), after_first)
    assert not torch.equal(flat_weights(classifier), model)


@pytest.mark.parametrize("share", [0.0, 0.9])
def test_the_classifiers_loss_weighs_clean_and_triggered_images(images, attack_context, classifier, share):
    attack = LIRA(target_class=2, alpha=0.3, poisoning_rate=0.5, width=4)
    objective = LIRAObjective(attack, attack_context)
    batch, labels = images.floats, images.labels
    triggered = attack.apply(batch[:30], after_training(attack_context, objective))
    logits = classifier(torch.cat((batch, triggered)))
    clean_loss = F.cross_entropy(logits[:60], labels)
    triggered_loss = F.cross_entropy(logits[60:], torch.full((30,), 2))
    expected = 0.3 * clean_loss + 0.7 * triggered_loss
    loss = objective.loss(classifier, batch, labels, share)
    torch.testing.assert_close(loss, expected, atol=1e-5, rtol=1e-4)
    expected_gradients = torch.autograd.grad(expected, list(classifier.parameters()))
    loss.backward()
    gradients = [parameter.grad for parameter in classifier.parameters()]
    torch.testing.assert_close(gradients, list(expected_gradients), atol=1e-5, rtol=1e-3)


def test_the_generator_leads_a_fixed_classifier_to_the_targets(images, attack_context, classifier, spec):
    attack = LIRA(label_map="all-to-all", epsilon=0.5, width=4).resolve(spec)
    objective = LIRAObjective(attack, attack_context)
    targets = (images.labels + 1) % 5
    classifier.eval()

    def loss_of_targets() -> float:
        triggered = attack.apply(images.floats, after_training(attack_context, objective))
        return F.cross_entropy(classifier(triggered), targets).item()

    before = loss_of_targets()
    for _ in range(20):
        objective.loss(classifier, images.floats, images.labels, 0.0).backward()
    assert loss_of_targets() < before


def test_as_published_every_image_of_a_batch_is_triggered_too(images, attack_context, classifier):
    attack = LIRA(target_class=2, poisoning_rate=1, width=4)
    objective = LIRAObjective(attack, attack_context)
    triggered = attack.apply(images.floats, after_training(attack_context, objective))
    logits = classifier(torch.cat((images.floats, triggered)))
    clean, attacked = logits.split(60)
    expected = 0.5 * F.cross_entropy(clean, images.labels) + 0.5 * F.cross_entropy(attacked, torch.full((60,), 2))
    loss = objective.loss(classifier, images.floats, images.labels, 0.0)
    torch.testing.assert_close(loss, expected, atol=1e-5, rtol=1e-4)
