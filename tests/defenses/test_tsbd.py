"""TSBD: the weights that are zeroed, and the penalised gradient, against direct computations."""

import copy
from collections.abc import Sequence
from typing import cast

import pytest
import torch
import torch.nn.functional as F
from planted import FOUR_CLASSES, context, normalised_victim
from torch import Tensor, nn

from bench.defenses.tsbd import TSBD, GradientNorm, most_changed
from bench.plugin import Known


def test_the_most_changed_weights_of_the_most_changed_neurons_are_chosen() -> None:
    changes = [torch.rand(6, 2, 3, 3), torch.rand(4, 10) * 3]
    masks = most_changed(changes, 0.3, 0.5)
    rows = sorted((float(row.sum()), layer, number) for layer in (0, 1) for number, row in enumerate(changes[layer]))
    chosen = {(layer, number) for _, layer, number in rows[-3:]}
    for layer, mask in enumerate(masks):
        assert mask.shape == changes[layer].shape
        for number, row in enumerate(mask.flatten(1)):
            values = changes[layer][number].flatten()
            median = values.sort().values[len(values) // 2]
            wanted = values >= median if (layer, number) in chosen else torch.zeros_like(row)
            assert torch.equal(row, wanted)


def test_the_penalised_gradient_is_taken_partly_ahead() -> None:
    victim = normalised_victim()
    model, images = victim.double(), FOUR_CLASSES.draw(20, seed=3).floats.double()
    labels = torch.arange(20) % FOUR_CLASSES.classes
    weights = list(model.parameters())

    def gradient(at: Sequence[Tensor]) -> Tensor:
        moved = copy.deepcopy(model)
        with torch.no_grad():
            for parameter, value in zip(moved.parameters(), at, strict=True):
                parameter.copy_(value)
        loss = F.cross_entropy(moved(images), labels)
        return torch.cat([part.flatten() for part in torch.autograd.grad(loss, list(moved.parameters()))])

    here = gradient(weights)
    step = 0.05 * here / here.norm()
    ahead = gradient([w + s.view_as(w) for w, s in zip(weights, step.split([w.numel() for w in weights]), strict=True)])
    GradientNorm(0.7, 0.05).loss(model, images, labels, 0.0).backward()
    ours = torch.cat([cast(Tensor, weight.grad).flatten() for weight in weights])
    torch.testing.assert_close(ours, 0.3 * here + 0.7 * ahead)
    assert not torch.allclose(here, ahead, rtol=1e-3)


def test_weights_may_be_ranked_over_all_chosen_neurons_together() -> None:
    changes = [torch.rand(6, 2, 3, 3), torch.rand(4, 10) * 3]
    apart, together = (most_changed(changes, 0.5, 0.4, together=flag) for flag in (False, True))
    rows = [(layer, number) for layer in (0, 1) for number in range(len(changes[layer]))]
    chosen = [(layer, number) for layer, number in rows if apart[layer][number].any()]
    pool = torch.cat([changes[layer][number].flatten() for layer, number in chosen])
    least = pool.sort(descending=True).values[round(0.4 * len(pool)) - 1]
    for layer, number in rows:
        wanted = (changes[layer][number] >= least) & ((layer, number) in chosen)
        assert torch.equal(together[layer][number], wanted)
    assert any(not torch.equal(one, other) for one, other in zip(apart, together, strict=True))


def test_the_look_ahead_may_have_its_length_in_every_tensor() -> None:
    model, images = normalised_victim().double(), FOUR_CLASSES.draw(20, seed=3).floats.double()
    labels, seen = torch.arange(20) % FOUR_CLASSES.classes, []
    slopes = torch.autograd.grad(F.cross_entropy(model(images), labels), list(model.parameters()))
    moved = copy.deepcopy(model)
    with torch.no_grad():
        for weight, slope in zip(moved.parameters(), slopes, strict=True):
            weight += 0.05 * slope / slope.norm().clamp_min(1e-12)
    ahead = torch.autograd.grad(F.cross_entropy(moved(images), labels), list(moved.parameters()))
    GradientNorm(1.0, 0.05, "tensor").loss(model, images, labels, 0.0).backward()
    for weight, slope in zip(model.parameters(), ahead, strict=True):
        torch.testing.assert_close(weight.grad, slope)
    GradientNorm(1.0, 0.05).loss(model, images, labels, 0.0).backward()
    seen = [
        torch.allclose(cast(Tensor, weight.grad), 2 * slope)
        for weight, slope in zip(model.parameters(), ahead, strict=True)
    ]
    assert not all(seen)


def test_the_unlearning_is_by_whole_epochs_if_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def record(model: nn.Module, *rest: object, **settings: object) -> tuple[nn.Module, float]:
        seen.append(settings["whole_epochs"])
        return copy.deepcopy(model), 0.0

    monkeypatch.setattr("bench.defenses.tsbd.unlearned", record)
    for whole in (False, True):
        defense = TSBD(whole_epochs=whole, epochs=0)
        defense.repair(normalised_victim(), Known(FOUR_CLASSES.draw(40, seed=1)), context())
    assert seen == [False, True]


def test_ranking_and_look_ahead_are_those_that_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    ranked, norms = [], []

    def record(changes: list[Tensor], neurons: float, weights: float, *, together: bool) -> list[Tensor]:
        ranked.append(together)
        return most_changed(changes, neurons, weights, together=together)

    monkeypatch.setattr("bench.defenses.tsbd.most_changed", record)
    monkeypatch.setattr(TSBD, "fine_tune", lambda self, *rest, objective: norms.append(objective.norm))
    for form in ({}, {"ranked": "together", "look_ahead": "tensor"}):
        TSBD(**form).repair(normalised_victim(), Known(FOUR_CLASSES.draw(40, seed=1)), context())
    assert (ranked, norms) == ([False, True], ["network", "tensor"])
