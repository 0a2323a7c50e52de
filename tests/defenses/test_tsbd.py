"""TSBD: the weights that are zeroed, and the penalised gradient, against direct computations."""

import copy
from collections.abc import Sequence
from typing import cast

import torch
import torch.nn.functional as F
from planted import FOUR_CLASSES, normalised_victim
from torch import Tensor

from bench.defenses.tsbd import GradientNorm, most_changed


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
