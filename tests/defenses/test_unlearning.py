"""Clean unlearning, with which RNP and TSBD begin."""

import copy

import pytest
import torch
from planted import FOUR_CLASSES, accuracy, context, normalised_victim

from bench.defenses._unlearning import unlearned
from bench.plugin import LabelledImages


def test_unlearning_changes_a_copy_until_it_fails() -> None:
    model, data = normalised_victim(), FOUR_CLASSES.draw(120, 1)
    before = copy.deepcopy(model.state_dict())
    network, reached = unlearned(model, data, context(), accuracy=0.3, epochs=50, learning_rate=0.01, batch_size=40)
    assert reached <= 0.3
    assert accuracy(network, data.floats, data.labels) < 0.6
    assert not network.training
    assert not model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_whole_epochs_end_after_an_epoch_that_failed_on_the_whole_and_clip_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clipped: list[float] = []
    monkeypatch.setattr(torch.nn.utils, "clip_grad_norm_", lambda weights, norm: clipped.append(norm))
    model, data = normalised_victim(), FOUR_CLASSES.draw(120, 1)
    ends = {}
    for whole in (False, True):
        notes = context()
        before = notes.generator.get_state()
        _, reached = unlearned(
            model, data, notes, accuracy=0.3, epochs=50, learning_rate=0.01, batch_size=40, whole_epochs=whole
        )
        ends[whole] = (reached, bool(clipped), notes.generator.get_state().equal(before))
        clipped.clear()
    assert ends[True][0] <= 0.3
    assert ends[True][0] * 120 == pytest.approx(round(ends[True][0] * 120))  # of all images
    assert (ends[False][1], ends[True][1]) == (True, False)


@pytest.mark.parametrize(("whole", "batches"), [(False, 1), (True, 3)])
def test_an_accuracy_that_is_low_at_once_ends_it_at_the_first_batch_or_after_the_first_epoch(
    whole: bool, batches: int
) -> None:
    data = FOUR_CLASSES.draw(120, 1)
    wrong = LabelledImages(data.images, (data.labels + 1) % 4)  # the network is wrong from the start
    passes = []
    model = normalised_victim()
    settings = {"accuracy": 0.3, "epochs": 5, "learning_rate": 1e-6, "batch_size": 40, "whole_epochs": whole}
    model.register_forward_hook(lambda *_: passes.append(1))
    unlearned(model, wrong, context(), **settings)
    assert len(passes) == batches
