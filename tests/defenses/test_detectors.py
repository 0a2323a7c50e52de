"""Properties that every runtime defense must have, and what the detectors share."""

import pytest
import torch
from planted import context, row_task
from small_networks import random_convolutions
from torch import Tensor, nn

from bench.defenses._detection import clean_threshold, second_best
from bench.defenses.ibd_psc import IBDPSC
from bench.defenses.scale_up import ScaleUp
from bench.defenses.shrinkpad import ShrinkPad
from bench.defenses.strip import STRIP
from bench.defenses.teco import TeCo
from bench.plugin import Known, Prediction, Runtime
from bench.toolbox.inference import Answers

TASK = row_task()
GUARDS: list[Runtime] = [STRIP(overlays=10), ShrinkPad(), ScaleUp(), ScaleUp(data_free=True), IBDPSC(), TeCo()]
DETECTORS = [defense for defense in GUARDS if defense.name != "shrinkpad"]

pytestmark = pytest.mark.usefixtures("full_precision")


def network() -> nn.Module:
    return random_convolutions(TASK.draw(60, seed=9).floats, TASK.classes)


def parts(prediction: Prediction) -> dict[str, Tensor]:
    """Logits, score and verdict, where there are any."""
    return {name: value for name, value in vars(prediction).items() if value is not None}


@pytest.mark.parametrize("defense", GUARDS, ids=str)
def test_the_answer_depends_on_neither_batch_size_nor_order(defense: Runtime) -> None:
    images = torch.cat((TASK.draw(9, seed=3).floats, TASK.triggered(TASK.draw(8, seed=4).floats)))
    guard = defense.guard(network(), Known(TASK.draw(40, seed=1)), context())
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
    at_once, mixed = parts(guard(images)), parts(guard(images[order]))
    single = [parts(guard(image)) for image in images.split(1)]
    for part, whole in at_once.items():
        torch.testing.assert_close(mixed[part], whole[order], atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(torch.cat([one[part] for one in single]), whole, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("defense", GUARDS, ids=str)
def test_a_detector_declares_that_it_only_flags_and_no_other_guard_does(defense: Runtime) -> None:
    assert defense.detects_only == (defense in DETECTORS)
    if defense in DETECTORS:
        assert not defense.model_copy(update={"on_flag": "second"}).detects_only


@pytest.mark.parametrize("defense", DETECTORS, ids=str)
def test_a_detector_leaves_the_logits_unless_it_is_asked_for_the_second_best(defense: Runtime) -> None:
    model, images, known = network(), TASK.draw(30, seed=3).floats, Known(TASK.draw(40, seed=1))
    answer = parts(defense.guard(model, known, context())(images))
    assert torch.equal(answer["logits"], Answers(model)(images))
    other = parts(defense.model_copy(update={"on_flag": "second"}).guard(model, known, context())(images))
    assert torch.equal(other["flagged"], answer["flagged"])
    ranked = answer["logits"].argsort(1, descending=True)
    assert torch.equal(other["logits"].argmax(1), torch.where(other["flagged"], ranked[:, 1], ranked[:, 0]))


def test_the_second_best_class_is_answered_in_the_given_rows_only() -> None:
    logits = torch.tensor([[3.0, 2.0, -1.0], [0.0, -5.0, 1.0]])
    ranked = second_best(logits, torch.tensor([True, True])).argsort(1, descending=True)
    assert ranked.tolist() == [[1, 2, 0], [0, 1, 2]]
    assert torch.equal(second_best(logits, torch.tensor([False, False])), logits)


@pytest.mark.parametrize("rate", [0, 0.05, 0.1, 0.99])
def test_no_more_than_the_wanted_share_of_clean_images_is_above_the_threshold(rate: float) -> None:
    scores = torch.rand(40, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert int((scores > clean_threshold(scores, rate)).sum()) == int(rate * 40)
    assert not (torch.ones(40) > clean_threshold(torch.ones(40), rate)).any()
