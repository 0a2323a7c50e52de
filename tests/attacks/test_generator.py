"""The generators of input_aware and lira: any image size, storage, and how the training loop drives them."""

from dataclasses import replace

import pytest
import torch
from attack_helpers import with_learned

from bench.attacks._generator import from_weights, new_generator, weights_of
from bench.attacks.input_aware import InputAware
from bench.attacks.lira import LIRA
from bench.plugin.values import ImageSpec
from bench.toolbox.training import Recipe, train

EACH = pytest.mark.parametrize(
    "attack",
    [
        InputAware(target_class=2, mask_epochs=2, batch_size=20, width=4),
        LIRA(target_class=2, epsilon=0.1, width=4),
    ],
    ids=lambda attack: attack.name,
)


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32), (3, 17, 30)])
def test_a_generator_fits_images_of_any_size_and_is_restored_from_its_weights(attack_context, shape):
    context = replace(attack_context, spec=ImageSpec(*shape, 5, (0.5,) * shape[0], (0.5,) * shape[0]))
    generator = new_generator(2, 4, context)
    batch = torch.rand(4, *shape, generator=torch.Generator().manual_seed(0))
    maps = generator(batch)
    assert maps.shape == (4, 2, *shape[1:])
    again = from_weights({"other.x": batch, **weights_of(generator, "a.")}, "a.", shape[0], 2, 4)
    torch.testing.assert_close(again(batch), maps)


@EACH
def test_the_training_set_stays_as_it_is(attack, images, attack_context):
    poisoned = attack.poison(images, with_learned(attack, images, attack_context))
    assert torch.equal(poisoned.data.images, images.images)
    assert torch.equal(poisoned.data.labels, images.labels)
    assert not bool(poisoned.poisoned.any() | poisoned.cover.any())


@EACH
def test_the_training_loop_trains_the_generator(attack, images, attack_context, classifier):
    context = with_learned(attack, images, attack_context)
    objective = attack.objective(classifier, images, context)
    at_start = objective.learned()
    recipe = Recipe(epochs=2, batch_size=16, learning_rate=0.05, schedule="one-cycle")
    train(classifier, images, recipe, torch.Generator().manual_seed(0), crop=1, objective=objective)
    changed = [name for name, value in objective.learned().items() if not torch.equal(value, at_start[name])]
    assert len(changed) > 5
