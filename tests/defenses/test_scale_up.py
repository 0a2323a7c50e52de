"""SCALE-UP: the scaled prediction consistency and its moments against direct computations."""

import numpy as np
import pytest
import torch
from planted import context, judgement, row_task
from small_networks import random_convolutions
from torch import Tensor, nn

from bench.cell.metrics import auroc
from bench.defenses.scale_up import ScaleUp, consistency, moments_by_class
from bench.plugin import Known

TASK = row_task()

pytestmark = pytest.mark.usefixtures("full_precision")


class Fading(nn.Module):
    """Class 0 where the image is dark, 1 where it is bright; with a bright corner, a dark image is class 2 instead."""

    def forward(self, images: Tensor) -> Tensor:
        mean, corner = images.mean((1, 2, 3)), images[:, 0, -1, -1]
        return torch.stack((0.5 - mean, mean - 0.5, 4 * corner - 2), 1)


@pytest.mark.parametrize("data_free", [False, True])
def test_an_input_that_no_amplification_changes_is_flagged(data_free: bool) -> None:
    known, images = Known(None if data_free else TASK.draw(60, seed=1)), TASK.draw(60, seed=3).floats
    guard = ScaleUp(data_free=data_free).guard(Fading(), known, context())
    clean, triggered = guard(images), guard(TASK.triggered(images))
    assert clean.logits.argmax(1).eq(0).all()
    assert judgement(triggered)[1].all()
    assert auroc(judgement(clean)[0], judgement(triggered)[0]) == 1


def test_the_consistency_is_the_share_of_amplified_copies_with_the_same_class() -> None:
    model = random_convolutions(TASK.draw(60, seed=9).floats, TASK.classes)
    images = TASK.draw(12, seed=1, noise=0.4).floats
    predicted = model(images).argmax(1)
    expected = []
    for image, label in zip(images, predicted.tolist(), strict=True):
        copies = [torch.from_numpy(np.minimum(image.numpy() * factor, 1))[None] for factor in (2, 5)]
        expected.append(np.mean([int(model(amplified).argmax()) == label for amplified in copies]))
    np.testing.assert_allclose(consistency(model, images, predicted, (2, 5)).numpy(), expected, atol=1e-6)
    assert len(set(expected)) > 1


def test_moments_are_by_class_and_of_all_values_for_a_class_with_fewer_than_two() -> None:
    values = torch.rand(20, generator=torch.Generator().manual_seed(0))
    mean, deviation = moments_by_class(values, torch.tensor([0] * 12 + [1] * 7 + [2]), 4)
    first, second, every = values[:12].numpy(), values[12:19].numpy(), values.numpy()
    np.testing.assert_allclose(mean, [first.mean(), second.mean(), every.mean(), every.mean()], rtol=1e-5)
    deviations = [first.std(ddof=1), second.std(ddof=1), every.std(), every.std()]
    np.testing.assert_allclose(deviation, deviations, rtol=1e-4)


def test_moments_of_all_clean_images_order_inputs_as_without_data() -> None:
    model = random_convolutions(TASK.draw(60, seed=9).floats, TASK.classes)
    reference, images = TASK.draw(60, seed=1, noise=0.4), TASK.draw(40, seed=3, noise=0.6).floats
    free, every, by_class = (
        judgement(ScaleUp(**form).guard(model, Known(reference), context())(images))[0]
        for form in ({"data_free": True}, {"moments": "all"}, {})
    )
    clean = consistency(model, reference.floats, model(reference.floats).argmax(1), (3, 5, 7, 9, 11))
    torch.testing.assert_close(every, (free - clean.mean()) / clean.std())
    assert not torch.allclose(by_class, every)
