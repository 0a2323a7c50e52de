"""One change that permutes the classes, in networks whose backdoors are known."""

import pytest
import torch
from planted import PERMUTED, Permutable
from torch import Tensor

from bench.defenses._permuting_change import ENOUGH, RADIUS, permutation, permuting_change

CLASSES = len(PERMUTED)


def drawn(seed: int, each: int = 12) -> tuple[Tensor, Tensor]:
    """Activations and labels of benign images; the trigger is absent."""
    labels = torch.arange(CLASSES).repeat(each)
    draw = torch.Generator().manual_seed(seed)
    evidence = torch.eye(CLASSES)[labels] + 0.05 * torch.randn(len(labels), CLASSES, generator=draw)
    return torch.cat([evidence, torch.zeros(len(labels), 1)], 1), labels


@pytest.mark.parametrize("radius", [RADIUS, 3.0])
def test_only_an_all_to_all_backdoor_gives_every_class_another_target(radius, monkeypatch):
    monkeypatch.setattr("bench.defenses._permuting_change.RADIUS", radius)
    (some, labels), (others, their_labels) = drawn(0), drawn(1)
    shares = {}
    for backdoor in ("all-to-all", "all-to-one", "none"):
        head = Permutable(backdoor)
        found = permuting_change(head, some, labels, CLASSES)
        shares[backdoor] = found.share(head, others, their_labels)
        assert sorted(found.targets) == list(range(CLASSES))
        assert all(target != label for label, target in enumerate(found.targets))
        if backdoor == "all-to-all":
            assert found.targets == PERMUTED
            assert found.share(head, some, labels) >= ENOUGH
            assert found.change[0, -1] > found.change[0, :-1].abs().max()  # it is the trigger
    assert shares["all-to-all"] > 0.8
    assert max(shares["all-to-one"], shares["none"]) <= 2 / CLASSES


def test_the_change_found_is_about_the_smallest_and_within_the_radius():
    some, labels = drawn(0)
    found = permuting_change(Permutable("all-to-all"), some, labels, CLASSES)
    median = some.norm(dim=1).median()
    # alone, the trigger t must bring 20 (evidence + t - .9) above 4 evidence: .1 where the evidence is 1
    assert 0.07 < float(found.change.norm() / median) <= RADIUS + 1e-6
    unreached = permuting_change(Permutable("none"), some, labels, CLASSES)
    assert float(unreached.change.norm() / median) == pytest.approx(RADIUS) or not unreached.change.any()


def test_the_number_of_images_in_a_pass_does_not_matter():
    some, labels = drawn(0)
    once = permuting_change(Permutable("all-to-all"), some, labels, CLASSES)
    chunks = permuting_change(Permutable("all-to-all"), some, labels, CLASSES, chunk=7)
    torch.testing.assert_close(once.change, chunks.change, rtol=1e-3, atol=1e-4)
    assert once.targets == chunks.targets
    others, their_labels = drawn(1)
    head = Permutable("all-to-all")
    assert once.share(head, others, their_labels) == once.share(head, others, their_labels, chunk=5)


def test_logits_that_are_not_finite_are_refused():
    some, labels = drawn(0)
    with pytest.raises(ValueError, match="the logits of changed activations"):
        permuting_change(lambda activations: activations[:, :CLASSES] * torch.nan, some, labels, CLASSES)


def test_a_permutation_gives_no_class_itself_and_each_target_once():
    logits = torch.eye(CLASSES).roll(2, 1)[torch.arange(CLASSES)] * 3
    labels = torch.arange(CLASSES)
    assert permutation(logits, labels, CLASSES).tolist() == [(label + 2) % CLASSES for label in range(CLASSES)]
    own = permutation(10 * torch.eye(CLASSES), labels, CLASSES)  # every class speaks for itself alone
    assert sorted(own.tolist()) == list(range(CLASSES))
    assert not (own == labels).any()
    absent = permutation(logits[1:], labels[1:], CLASSES)  # the first class has no image: it takes what is left
    assert absent.tolist() == [(label + 2) % CLASSES for label in range(CLASSES)]
