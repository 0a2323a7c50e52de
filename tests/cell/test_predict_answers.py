"""What a guard may answer: anything else ends in one line that names what was given and what was expected."""

import re

import numpy as np
import pytest
import torch

from bench.cell import repair
from bench.cell.backdoors import TriggeredSet
from bench.cell.predict import AGAIN, BATCH, ask_again, predict
from bench.cell.reference import DefenseInputs
from bench.errors import Died, Elsewhere
from bench.plugin.defense import Guard
from bench.plugin.values import Known, LabelledImages, Prediction

COUNT, CLASSES = 6, 4  # images a batch: three clean and three triggered ones
RIGHT = torch.arange(COUNT * CLASSES).float().view(COUNT, CLASSES)
SCORES = torch.arange(COUNT).float()


def numbered(count: int) -> TriggeredSet:
    """``count`` images without and with a trigger: the pixels of an input hold its number."""
    numbers = torch.arange(2 * count, dtype=torch.uint8).view(-1, 1, 1, 1).expand(-1, 1, 2, 2)
    labels = torch.zeros(count, dtype=torch.int64)
    return TriggeredSet(LabelledImages(numbers[:count], labels), numbers[count:], labels + 1)


def numbers(images: torch.Tensor) -> torch.Tensor:
    return (images[:, 0, 0, 0] * 255).round().long()


def ask(answer, clean: int = 3) -> dict[str, torch.Tensor]:
    return predict(answer if callable(answer) else lambda _: answer, numbered(clean), classes=CLASSES)


def spoiled(values: torch.Tensor, value: float) -> torch.Tensor:
    values = values.clone()
    values.view(-1)[1] = value
    return values


LOGITS = {
    "sparse": (RIGHT.to_sparse(), "logits: got a sparse_coo tensor, expected a dense tensor of floats (6, 4)"),
    "on no device": (RIGHT.to("meta"), "logits: got a meta tensor, expected a dense tensor of floats (6, 4)"),
    "complex": (RIGHT.to(torch.complex64), "logits: got complex64 values, expected floats (6, 4)"),
    "integers": (RIGHT.long(), "logits: got int64 values, expected floats (6, 4)"),
    "bool": (RIGHT > 1, "logits: got bool values, expected floats (6, 4)"),
    "transposed": (RIGHT.T, "logits: got shape (4, 6), expected (6, 4), the transpose of it"),
    "narrower": (RIGHT[:, 1:], "logits: got shape (6, 3), expected (6, 4)"),
    "wider": (torch.cat([RIGHT, RIGHT], 1), "logits: got shape (6, 8), expected (6, 4)"),
    "fewer": (RIGHT[1:], "logits: got shape (5, 4), expected (6, 4)"),
    "none": (RIGHT[:0], "logits: got shape (0, 4), expected (6, 4)"),
    "three axes": (RIGHT[None], "logits: got shape (1, 6, 4), expected (6, 4)"),
    "classes": (RIGHT.argmax(1).float(), "logits: got shape (6,), expected (6, 4)"),
    "NaN": (spoiled(RIGHT, torch.nan), "logits: 1 of 24 values are not numbers, expected finite float32 values"),
    "infinite": (spoiled(RIGHT, torch.inf), "logits: 1 of 24 values are not numbers, expected finite float32 values"),
    "beyond float32": (spoiled(RIGHT.double(), 1e300), "logits: 1 of 24 values are not numbers"),
    "an array": (np.zeros((COUNT, CLASSES)), "logits: got a ndarray, expected a tensor of floats (6, 4)"),
    "a tuple": ((RIGHT,), "logits: got a tuple, expected a tensor of floats (6, 4)"),
    "nothing": (None, "logits: got a NoneType, expected a tensor of floats (6, 4)"),
}
SCORE = {
    "a column": (SCORES[:, None], "score: got shape (6, 1), expected (6,)"),
    "one number": (SCORES[0], "score: got shape (), expected (6,)"),
    "fewer": (SCORES[1:], "score: got shape (5,), expected (6,)"),
    "NaN": (spoiled(SCORES, torch.nan), "score: 1 of 6 values are not numbers, expected finite float32 values"),
    "infinite": (spoiled(SCORES, -torch.inf), "score: 1 of 6 values are not numbers"),
    "complex": (SCORES.to(torch.complex64), "score: got complex64 values, expected floats (6,)"),
    "integers": (SCORES.long(), "score: got int64 values, expected floats (6,)"),
    "a list": ([0.0] * COUNT, "score: got a list, expected a tensor of floats (6,)"),
}
FLAGS = {
    "minus one": (torch.full((COUNT,), -1), "flagged: got int64 values, expected bool (6,)"),
    "floats": (SCORES, "flagged: got float32 values, expected bool (6,)"),
    "a column": ((SCORES > 2)[:, None], "flagged: got shape (6, 1), expected (6,)"),
    "more": (torch.ones(COUNT + 1) > 0, "flagged: got shape (7,), expected (6,)"),
    "sparse": ((SCORES > 2).to_sparse(), "flagged: got a sparse_coo tensor, expected a dense tensor of bool (6,)"),
    "one bool": (True, "flagged: got a bool, expected a tensor of bool (6,)"),
}
WRONG = [
    *[pytest.param(Prediction(value), said, id=f"logits {name}") for name, (value, said) in LOGITS.items()],
    *[pytest.param(Prediction(RIGHT, value), said, id=f"score {name}") for name, (value, said) in SCORE.items()],
    *[pytest.param(Prediction(RIGHT, flagged=value), said, id=f"flag {name}") for name, (value, said) in FLAGS.items()],
    pytest.param(RIGHT, "the guard gave a Tensor, expected a Prediction", id="no prediction"),
    pytest.param(None, "the guard gave None, expected a Prediction", id="nothing"),
]  # fmt: skip


@pytest.mark.parametrize(("answer", "said"), WRONG)
def test_a_wrong_answer_is_named_in_one_line(answer, said):
    with pytest.raises((TypeError, ValueError), match=re.escape(said)) as error:
        ask(answer)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["score", "flagged"])
def test_a_score_or_a_verdict_is_given_for_all_batches_or_for_none(name):
    values = {"score": torch.zeros(BATCH), "flagged": torch.zeros(BATCH) > 0}

    def forgetful(images):
        forgotten = len(images) < BATCH
        return Prediction(torch.zeros(len(images), CLASSES), **({} if forgotten else {name: values[name]}))

    with pytest.raises(ValueError, match=f"{name}: given for 1 of 2 batches, expected for all or for none"):
        ask(forgetful, clean=BATCH // 2 + 10)


@pytest.mark.parametrize("kind", [torch.float32, torch.float64, torch.float16, torch.bfloat16])
def test_a_right_answer_of_any_precision_is_kept_as_float32_in_order(kind):
    def right(images):
        chosen = numbers(images)
        return Prediction(RIGHT.to(kind)[chosen], SCORES.to(kind)[chosen], SCORES[chosen] > 3)

    said = ask(right)
    assert {name: value.dtype for name, value in said.items() if "flagged" not in name} == dict.fromkeys(
        ["clean_logits", "triggered_logits", "clean_score", "triggered_score"], torch.float32
    )
    assert torch.equal(torch.cat([said["clean_logits"], said["triggered_logits"]]), RIGHT)
    assert torch.equal(torch.cat([said["clean_score"], said["triggered_score"]]), SCORES)
    assert torch.equal(torch.cat([said["clean_flagged"], said["triggered_flagged"]]), SCORES > 3)


class Returns:
    """A repair that gives what it was made with."""

    changes_nothing = wants_pairs = False
    knowledge = "clean"

    def __init__(self, result) -> None:
        self.repair = lambda model, known, context: result


def network() -> torch.nn.Sequential:
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, CLASSES), torch.nn.BatchNorm1d(CLASSES))


def repaired(result, model=None) -> Guard:
    return repair.guard(Returns(result), DefenseInputs(model or network(), Known(), None, lambda: None))


def test_a_repair_that_leaves_numbers_which_are_not_finite_is_named_with_its_layer():
    broken = network()
    broken[1].weight.data[0, :3] = torch.nan
    with pytest.raises(ValueError, match=r"^1\.weight holds 3 values that are not finite$"):
        repaired(broken)
    broken = network()
    broken[2].running_var[1] = torch.inf
    with pytest.raises(ValueError, match=r"^2\.running_var holds 1 values that are not finite$"):
        repaired(broken)


def test_a_victim_that_was_broken_before_its_repair_is_told_apart():
    broken = network()
    broken[1].bias.data[:] = torch.nan
    with pytest.raises(ValueError, match=r"^the victim's 1\.bias holds 4 values that are not finite$"):
        repaired(network(), broken)


def test_a_repair_that_gives_no_network_is_named():
    with pytest.raises(TypeError, match=r"repair gave None, expected an nn\.Module"):
        repaired(None)


def test_a_finite_repair_answers():
    assert repaired(network())(torch.rand(5, 1, 2, 2)).logits.shape == (5, CLASSES)


def test_clean_and_triggered_inputs_share_their_batches():
    shares = []

    def watching(images):
        shares.append(float((numbers(images) >= 120).float().mean()))
        return Prediction(torch.zeros(len(images), CLASSES))

    predict(watching, numbered(120), classes=CLASSES)
    assert all(0.3 < share < 0.7 for share in shares)
    assert len(shares) == 1


class Centred(torch.nn.Module):
    """A guard that judges an image by the others of its batch."""

    def forward(self, images):
        pixels = images.flatten(1)
        return Prediction(pixels - pixels.mean(0))


class Counting:
    """A guard that changes with what it has seen."""

    def __init__(self) -> None:
        self.seen = 0

    def __call__(self, images):
        self.seen += len(images)
        return Prediction(images.flatten(1), flagged=torch.full((len(images),), self.seen > 240))


def by_itself(images):
    return Prediction(images.flatten(1), images.mean((1, 2, 3)), images.mean((1, 2, 3)) > 0.25)


@pytest.mark.parametrize(("guard", "part"), [(Centred(), "logits"), (Counting(), "flagged")])
def test_a_guard_that_judges_an_input_by_the_others_fails(guard, part):
    test = numbered(120)
    predictions = predict(guard, test, classes=CLASSES)
    with pytest.raises(
        ValueError, match=rf"^{part}: \d+ of {AGAIN} inputs got another answer when asked about again, alone"
    ):
        ask_again(guard, test, predictions, classes=CLASSES)


def test_a_guard_that_judges_each_input_by_itself_passes():
    test = numbered(120)
    ask_again(by_itself, test, predict(by_itself, test, classes=CLASSES), classes=CLASSES)


@pytest.mark.parametrize("raised", [ValueError("too few"), Elsewhere("ValueError: too few", "its traceback")])
def test_a_guard_that_raises_when_it_is_asked_about_one_image_fails_with_the_cause(raised):
    test = numbered(120)

    def needy(images):
        if len(images) == 1:
            raise raised
        return by_itself(images)

    predictions = predict(needy, test, classes=CLASSES)
    with pytest.raises((ValueError, Elsewhere), match=r"^ValueError: too few; when asked about one") as error:
        ask_again(needy, test, predictions, classes=CLASSES)
    assert getattr(error.value, "trace", None) == getattr(raised, "trace", None)


@pytest.mark.parametrize("raised", [MemoryError(), Died("the defense's process", -9)])
def test_memory_and_deaths_are_still_told_apart_when_a_guard_is_asked_again(raised):
    test = numbered(120)

    def dying(images):
        if len(images) == 1:
            raise raised
        return by_itself(images)

    predictions = predict(dying, test, classes=CLASSES)
    with pytest.raises(type(raised)):
        ask_again(dying, test, predictions, classes=CLASSES)


def test_answers_on_the_edge_may_differ_by_rounding():
    test = numbered(120)
    noise = torch.Generator().manual_seed(0)

    def rounded(images):
        return Prediction(images.flatten(1) + 1e-4 * torch.rand(len(images), 4, generator=noise))

    ask_again(rounded, test, predict(rounded, test, classes=CLASSES), classes=CLASSES)
