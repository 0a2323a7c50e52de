"""TeCo: the severity at which a prediction changes, and the deviation of these severities."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from planted import Victim, context, judgement, row_task
from small_networks import random_convolutions
from torch import Tensor

from bench.defenses import teco
from bench.defenses._teco_corruptions import SEVERITIES
from bench.defenses.teco import TeCo, flip_severities
from bench.plugin import Known

TASK = row_task()

pytestmark = pytest.mark.usefixtures("full_precision")


def darkening(amount: float) -> Callable[[Tensor, int], Tensor]:
    return lambda images, severity: images * (1 - amount * severity)


def without_corner(images: Tensor, severity: int) -> Tensor:
    """At any severity the trigger is lost."""
    changed = images.clone()
    changed[:, :, -2:, -2:] = 0
    return changed


def mixed_with_another_class(images: Tensor, severity: int) -> Tensor:
    """The trigger withstands it."""
    return images + images.roll(3, 2) * 0.4 * severity


def test_the_severity_is_the_first_with_another_prediction() -> None:
    model = random_convolutions(TASK.draw(60, seed=9).floats, TASK.classes)
    images = TASK.draw(20, seed=1, noise=0.5).floats
    predicted, ways = (
        model(images).argmax(1),
        {"weak": darkening(0.01), "some": darkening(0.1), "strong": darkening(0.2)},
    )
    expected = torch.full((20, 3), SEVERITIES + 1.0)
    for way, corrupt in enumerate(ways.values()):
        for severity in range(SEVERITIES, 0, -1):
            changed = model(corrupt(images, severity)).argmax(1) != predicted
            expected[changed, way] = severity
    assert torch.equal(flip_severities(model, images, predicted, ways), expected)
    assert len(expected.unique()) > 2


@pytest.mark.parametrize("centred", [False, True])
def test_the_score_is_the_deviation_of_the_severities(monkeypatch: pytest.MonkeyPatch, centred: bool) -> None:
    ways = {"corner": without_corner, "mixed": mixed_with_another_class}
    monkeypatch.setattr(teco, "corruptions", lambda *_: ways)
    model, fresh, reference = Victim(TASK, speaks=1, shouts=60), TASK.draw(60, seed=3), TASK.draw(60, seed=1)
    others = fresh.at(fresh.labels != TASK.target)
    guard = TeCo(centred=centred).guard(model, Known(reference), context())
    usual = flip_severities(model, reference.floats, reference.labels, ways).mean(0).numpy() if centred else 0
    clean = flip_severities(model, others.floats, others.labels, ways).numpy()
    np.testing.assert_allclose(judgement(guard(others.floats))[0], (clean - usual).std(1), rtol=1e-5)
    triggered = judgement(guard(TASK.triggered(others.floats)))[0]
    np.testing.assert_allclose(triggered, np.std(np.array([1.0, 6.0]) - usual), rtol=1e-5)
