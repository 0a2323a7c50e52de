"""SAU: the shared loss against a direct computation, and what the examples lead to."""

import torch
import torch.nn.functional as F
from planted import THREE_CLASSES, awake_victim, context
from torch import Tensor

from bench.defenses._losses import jensen_shannon_of_logits
from bench.defenses.sau import SAU, shared_loss
from bench.plugin.values import Known, LabelledImages


def test_the_shared_loss_counts_only_where_the_backdoored_network_errs() -> None:
    logits = torch.tensor([[2.0, 1.0, 0.0], [0.0, 3.0, 1.0], [1.0, 1.0, 4.0]])
    backdoored, labels = torch.tensor([0, 1, 2]), torch.tensor([0, 2, 1])
    probabilities = logits.softmax(1)
    expected = -((1 - probabilities[1, 1]).log() + (1 - probabilities[2, 2]).log()) / 3
    torch.testing.assert_close(shared_loss(logits, backdoored, labels), expected)


def test_the_shared_loss_stays_finite_where_the_network_is_sure() -> None:
    logits = torch.tensor([[200.0, 0.0, 0.0]], requires_grad=True)
    loss = shared_loss(logits, torch.tensor([0]), torch.tensor([1]))
    (gradient,) = torch.autograd.grad(loss, logits)
    torch.testing.assert_close(loss.detach(), torch.tensor(200.0) - torch.tensor(2.0).log())
    torch.testing.assert_close(gradient, torch.tensor([[1.0, -0.5, -0.5]]))


def test_an_example_stays_within_epsilon_and_leads_both_networks_to_one_wrong_class() -> None:
    data, before, other = THREE_CLASSES.draw(30, seed=1), awake_victim(), awake_victim()
    with torch.no_grad():  # the other network has a second trigger, which the first does not share
        other.get_parameter("body.0.weight")[0, 0, 4, 5] = 1.5
    agreed = []
    for weight in (0.0, 1.0):
        defense = SAU(epsilon=0.9, step=0.9, shared_weight=weight)
        examples = defense._examples(other, before, data.floats, data.labels, context())
        assert float((examples - data.floats).abs().max()) <= 0.9 + 1e-6
        assert 0 <= float(examples.min()) <= float(examples.max()) <= 1
        now, then = (model(examples).argmax(1) for model in (other, before))
        agreed.append(float(((now == then) & (then != data.labels)).float().mean()))
    assert agreed[1] > 0.6
    assert agreed[1] > agreed[0]


def test_the_share_of_shared_examples_is_noted_and_falls() -> None:
    notes = context()
    SAU(rounds=10, learning_rate=0.03, epsilon=0.5).repair(awake_victim(), Known(THREE_CLASSES.draw(60, seed=1)), notes)
    shares = notes.diagnostics["shared_examples"]
    assert len(shares) == 10
    assert 1 >= shares[0] > shares[-1] >= 0


def examples(**parameters: object) -> tuple[LabelledImages, Tensor]:
    data = THREE_CLASSES.draw(30, seed=1)
    defense = SAU(epsilon=0.3, step=0.1, **parameters)
    return data, defense._examples(awake_victim(), awake_victim(), data.floats, data.labels, context())


def test_without_clipping_pixels_leave_0_to_1_but_not_epsilon() -> None:
    data, found = examples(clip=False)
    assert float(found.min()) < 0
    assert float((found - data.floats).abs().max()) <= 0.3 + 1e-6
    assert float(examples(clip=True)[1].min()) >= 0


def test_a_search_may_start_at_the_highest_change() -> None:
    data, found = examples(start="highest", clip=False, steps=1)
    below = found - data.floats - 0.3
    assert set(below.mul(10).round().unique().tolist()) <= {-1.0, 0.0}  # one step of 0.1 down, or cut off at the top


def test_a_masked_search_leaves_alone_what_both_networks_give_one_wrong_class() -> None:
    defense, labels = SAU(masked=True, adversarial_weight=0.5), torch.tensor([0, 0, 0])
    new = torch.tensor([[0.0, 3, 1], [0.0, 3, 1], [3.0, 0, 1]], requires_grad=True)
    old = torch.tensor([[1.0, 4, 0], [1.0, 0, 4], [3.0, 1, 0]])
    (slope,) = torch.autograd.grad(defense._searched(new, old, labels), new)
    assert not slope[0].any()  # both say 1
    (agreement,) = torch.autograd.grad(-jensen_shannon_of_logits(new, old)[1], new)
    torch.testing.assert_close(slope[1], agreement[1])  # both err, but not alike: no further error is sought
    loss = 0.25 * F.cross_entropy(new[2:], labels[2:]) - jensen_shannon_of_logits(new, old)[2]
    torch.testing.assert_close(slope[2], torch.autograd.grad(loss, new)[0][2])


def test_a_masked_unlearning_leaves_out_what_the_old_network_errs_on_anyway() -> None:
    data = THREE_CLASSES.draw(60, seed=1)
    wrong = LabelledImages(data.images, (data.labels + 1) % 3)
    shares = []
    for masked in (False, True):
        notes = context()
        SAU(rounds=1, epsilon=0.01, step=0.01, masked=masked).repair(awake_victim(), Known(wrong), notes)
        shares += notes.diagnostics["shared_examples"]
    assert shares == [1, 0]
