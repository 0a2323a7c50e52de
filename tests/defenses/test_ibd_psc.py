"""IBD-PSC: which layers are amplified, and by how much, against networks amplified directly."""

import copy

import pytest
import torch
from planted import context, judgement, row_task
from small_networks import random_convolutions
from torch import Tensor, nn

from bench.defenses.ibd_psc import IBDPSC, amplified, run_order
from bench.plugin import Known, LabelledImages

TASK = row_task()
LAST_FIRST = ["13", "10", "7", "4", "1"]  # the five normalisations of the network below

pytestmark = pytest.mark.usefixtures("full_precision")


def network(norms: int) -> nn.Sequential:
    return random_convolutions(TASK.draw(60, seed=9).floats, TASK.classes, norms)


def direct(model: nn.Module, layers: list[str], factor: float) -> nn.Module:
    """A copy of ``model`` whose ``layers`` have their scale and shift multiplied."""
    changed = copy.deepcopy(model)
    with torch.no_grad():
        for name in layers:
            layer = changed.get_submodule(name)
            assert isinstance(layer, nn.BatchNorm2d)
            layer.weight.mul_(factor)
            layer.bias.mul_(factor)
    return changed


def reference_errors(model: nn.Module, data: LabelledImages, factor: float) -> list[float]:
    """The error rates on ``data`` with 1, 2, ... of the last layers amplified."""
    networks = [direct(model, LAST_FIRST[:depth], factor) for depth in range(1, len(LAST_FIRST) + 1)]
    return [int((changed(data.floats).argmax(1) != data.labels).sum()) / len(data) for changed in networks]


def labelled_by(model: nn.Module) -> LabelledImages:
    """Images with the labels that ``model`` gives them."""
    data = TASK.draw(90, seed=1, noise=0.9)
    return LabelledImages(data.images, model(data.floats).argmax(1))


def test_amplified_layers_are_multiplied_and_nothing_else() -> None:
    model, images = network(3), TASK.draw(9, seed=1).floats
    for layers in (["7"], ["7", "4"], ["1", "4", "7"]):
        expected = direct(model, layers, 1.5)(images)
        torch.testing.assert_close(amplified(model, layers, 1.5)(images), expected, atol=1e-5, rtol=1e-5)


def test_layers_are_ordered_by_when_they_run() -> None:
    class Crossed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.last, self.first, self.twice, self.plain, self.idle = (
                nn.BatchNorm2d(1, affine=i != 3) for i in range(5)
            )

        def forward(self, images: Tensor) -> Tensor:
            once: Tensor = self.plain(self.twice(self.first(self.twice(images))))
            return self.last(once).flatten(1)  # type: ignore[no-any-return]

    assert run_order(Crossed().eval(), TASK.draw(2, seed=1).floats) == ["first", "twice", "last"]


def test_amplification_begins_where_the_reference_error_exceeds_xi() -> None:
    model, notes = network(5), context()
    reference = labelled_by(model)
    errors = reference_errors(model, reference, 3)
    xi = (errors[0] + max(errors)) / 2
    first = next(depth for depth, error in enumerate(errors, 1) if error > xi)
    assert first > 1
    guard = IBDPSC(networks=2, factor=3, error=xi, powers=1).guard(model, Known(reference), notes)
    depths = list(range(first, min(first + 2, 6)))
    assert notes.diagnostics["amplified"]["layers"] == depths
    images = TASK.draw(9, seed=3, noise=0.9).floats
    predicted = model(images).argmax(1, keepdim=True)
    votes = [direct(model, LAST_FIRST[:depth], 3)(images).softmax(1).gather(1, predicted)[:, 0] for depth in depths]
    torch.testing.assert_close(judgement(guard(images))[0], torch.stack(votes).mean(0), atol=1e-4, rtol=0)


def test_omega_is_raised_until_there_are_enough_networks() -> None:
    model, xi = network(5), 0.2
    reference = labelled_by(model)

    def networks_at(power: int) -> int:
        """How many amplified networks there are from the first one on whose error exceeds ``xi``."""
        errors = reference_errors(model, reference, 1.1**power)
        return next((5 - index for index, error in enumerate(errors) if error > xi), 0)

    wanted = next(power for power in range(1, 30) if networks_at(power) >= 3)
    assert wanted > 2
    assert networks_at(wanted - 1) < 3
    for powers in (30, wanted):
        notes = context()
        IBDPSC(networks=3, factor=1.1, error=xi, powers=powers).guard(model, Known(reference), notes)
        assert notes.diagnostics["amplified"]["factor"] == pytest.approx(1.1**wanted)
        assert len(notes.diagnostics["amplified"]["layers"]) == 3


def test_amplification_may_begin_one_layer_further_on() -> None:
    reference, layers = labelled_by(network(5)), []
    for first in ("at", "behind"):
        notes = context()
        IBDPSC(networks=2, factor=3, error=0.1, powers=1, first=first).guard(network(5), Known(reference), notes)
        layers.append(notes.diagnostics["amplified"]["layers"])
    assert layers[1][0] == layers[0][0] + 1
