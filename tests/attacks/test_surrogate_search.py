"""What all patterns that are searched for on a clean surrogate have in common (l0inv, l2inv, low_frequency, siba)."""

from dataclasses import replace

import pytest
import torch
from attack_helpers import add_pattern, assert_equals_reference, with_learned
from torch import Tensor, nn

from bench.attacks._surrogate import AddedPattern, largest
from bench.attacks.l0inv import L0Inv
from bench.attacks.l2inv import L2Inv
from bench.attacks.low_frequency import LowFrequency
from bench.attacks.siba import SIBA
from bench.cell import backdoors

ADDED: list[AddedPattern] = [
    L2Inv(steps=30),
    L0Inv(steps=45, pixels=12),
    LowFrequency(steps=30),
    SIBA(steps=30, pixels=40, eps=16 / 255, turn=5),
]
EACH = pytest.mark.parametrize("attack", ADDED, ids=lambda attack: attack.name)


@EACH
def test_the_trigger_equals_the_pattern_added_value_by_value(attack, images, surrogate_context):
    assert_equals_reference(attack, add_pattern, images, with_learned(attack, images, surrogate_context))


@pytest.mark.parametrize("target", [0, 3])
@EACH
def test_a_pattern_leads_the_surrogate_to_the_target_better_than_a_shuffled_one(
    attack, target, images, surrogate_context, surrogate
):
    attack = attack.model_copy(update={"target_class": target})
    pattern = with_learned(attack, images, surrogate_context).learned["pattern"]
    fresh = torch.rand(64, 3, 16, 16, generator=torch.Generator().manual_seed(8))

    def log_confidence(added: Tensor) -> float:
        context = replace(surrogate_context, learned={"pattern": added})
        return float(surrogate(attack.apply(fresh, context)).softmax(1)[:, target].log().mean())

    order = torch.randperm(pattern.numel(), generator=torch.Generator().manual_seed(7))
    shuffled = pattern.flatten()[order].view_as(pattern)
    assert log_confidence(pattern) > max(log_confidence(torch.zeros_like(pattern)), log_confidence(shuffled)) + 0.01


@EACH
def test_the_patterns_of_several_targets_are_stored_under_names_of_their_own(attack, images, surrogate_context, spec):
    attack = type(attack)(**attack.model_dump(include={"steps"}), label_map="several", targets=(1, 4)).resolve(spec)
    learned = backdoors.learn(attack, images, surrogate_context)
    assert set(learned) == {"0.pattern", "1.pattern"}
    assert not torch.equal(learned["0.pattern"], learned["1.pattern"])


@pytest.mark.parametrize(
    "attack",
    [L0Inv(pixels=3, steps=45, strength=0.3), SIBA(pixels=3, eps=0.1, steps=10, turn=5)],
    ids=lambda attack: attack.name,
)
def test_a_sparse_pattern_lies_on_the_pixels_that_matter(attack, images, surrogate_context):
    """On a linear surrogate that looks at three pixels alone; two speak for the target, one against it."""
    linear = nn.Linear(3 * 16 * 16, 5)
    linear.weight.data.zero_()
    linear.bias.data.zero_()
    signs = {(2, 3): 1.0, (9, 12): 1.0, (15, 0): -1.0}
    weight = linear.weight.data.view(5, 3, 16, 16)
    for (row, column), sign in signs.items():
        weight[1, :, row, column] = 2 * sign
    network = nn.Sequential(nn.Flatten(), linear).requires_grad_(False)
    context = replace(surrogate_context, surrogate=lambda share: network)
    pattern = with_learned(attack.model_copy(update={"target_class": 1}), images, context).learned["pattern"]
    changed = [tuple(position) for position in (pattern != 0).any(0).nonzero().tolist()]
    assert sorted(changed) == sorted(signs)
    assert all(bool((pattern[:, row, column].sign() == sign).all()) for (row, column), sign in signs.items())


def test_largest_marks_as_many_values_as_asked_for():
    values = torch.tensor([[3.0, 1.0], [2.0, 5.0]])
    assert largest(values, 2).tolist() == [[1, 0], [0, 1]]
    assert largest(values, 9).tolist() == [[1, 1], [1, 1]]
