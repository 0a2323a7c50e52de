"""What a guard adds to the time of an input: against the bare network, on the same images, in turns."""

import math

import pytest
import torch

from bench.cell import meter
from bench.cell.backdoors import TriggeredSet
from bench.cell.metered import MeteredGuard
from bench.cell.predict import BATCH, COMPARED, COMPARED_ALONE, predict
from bench.plugin.values import LabelledImages, Prediction

CPU = torch.device("cpu")


class Clock:
    """Time that passes only while somebody works."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        monkeypatch.setattr(meter.time, "perf_counter", lambda: self.now)

    def working(self, name: str, milliseconds, order: list[str]):
        """A guard that takes so many milliseconds an image: a number, or the number of each of its calls in turn."""
        calls = iter(milliseconds if isinstance(milliseconds, list) else [milliseconds] * 10**6)

        def guard(images: torch.Tensor) -> Prediction:
            order.append(name)
            self.now += next(calls) * len(images) / 1000
            return Prediction(torch.zeros(len(images), 2))

        return guard


def black(count: int) -> TriggeredSet:
    pixels, labels = torch.zeros(count, 1, 2, 2, dtype=torch.uint8), torch.zeros(count, dtype=torch.int64)
    return TriggeredSet(LabelledImages(pixels, labels), pixels, labels + 1)


@pytest.fixture
def clock(monkeypatch) -> Clock:
    return Clock(monkeypatch)


def compared(clock: Clock, guard, bare, calls: int = 8) -> tuple[MeteredGuard, list[str]]:
    order: list[str] = []
    metered = MeteredGuard(clock.working("guard", guard, order), CPU, clock.working("bare", bare, order))
    for _ in range(calls):
        metered.compared(torch.zeros(5, 1, 2, 2))
    return metered, order


def test_what_a_guard_adds_is_the_difference_to_the_bare_network(clock):
    metered, _ = compared(clock, guard=5.0, bare=2.0)
    assert metered.ms_added == pytest.approx(3.0)
    assert metered.ms_added_spread == pytest.approx(0.0, abs=1e-4)
    assert metered.seconds == pytest.approx(8 * 5 * 0.005)  # the bare network's time is not the guard's


def test_a_guard_that_does_nothing_adds_nothing(clock):
    metered, _ = compared(clock, guard=2.0, bare=2.0)
    assert metered.ms_added == pytest.approx(0.0, abs=1e-4)


def test_the_spread_is_the_interquartile_range_and_an_outlier_does_not_move_the_median(clock):
    metered, _ = compared(clock, guard=[3.0, 3.0, 4.0, 5.0, 500.0], bare=1.0, calls=5)
    assert metered.ms_added == pytest.approx(3.0)
    assert metered.ms_added_spread == pytest.approx(2.0)


def test_guard_and_bare_network_take_turns_in_going_first(clock):
    _, order = compared(clock, guard=1.0, bare=1.0, calls=4)
    assert order[:1] == ["bare"]  # once before, untimed
    pairs = [tuple(order[start : start + 2]) for start in range(1, len(order), 2)]
    assert pairs == [("bare", "guard"), ("guard", "bare")] * 2


def test_without_a_comparison_nothing_is_known(clock):
    metered, _ = compared(clock, guard=1.0, bare=1.0, calls=0)
    assert math.isnan(metered.ms_added)
    assert math.isnan(metered.ms_added_spread)
    once, _ = compared(clock, guard=3.0, bare=1.0, calls=1)
    assert once.ms_added == pytest.approx(2.0)
    assert math.isnan(once.ms_added_spread)


@pytest.mark.parametrize(("images", "single"), [(10 * BATCH, False), (2 * BATCH, False), (5, False), (100, True)])
def test_the_bare_network_is_timed_in_a_few_calls_that_are_spread_over_all(images, single):
    asked: list[bool] = []

    def guard(beside: bool):
        def answer(given: torch.Tensor) -> Prediction:
            asked.append(beside)
            return Prediction(torch.zeros(len(given), 2))

        return answer

    stream = torch.arange(2 * images) if single else None
    predict(guard(False), black(images), stream, classes=2, compared=guard(True))
    most = COMPARED_ALONE if single else COMPARED
    assert sum(asked) == min(most, max(1, len(asked) - 1))
    if len(asked) > 1:
        assert not asked[0]  # the first call is the slowest
        quarters = [part.sum() for part in torch.tensor(asked[1:]).tensor_split(min(4, sum(asked)))]
        assert min(quarters) >= 1


def test_no_convolutions_are_tried_out_while_a_guard_answers(monkeypatch):
    """On a GPU they would be tried anew for every number of images that a guard passes on."""
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", True)  # as training has it
    seen: list[bool] = []

    def asked(images: torch.Tensor) -> Prediction:
        seen.append(torch.backends.cudnn.benchmark)
        return Prediction(torch.zeros(len(images), 2))

    guard = MeteredGuard(asked, CPU, asked)
    for answer in (guard, guard.compared, guard.compared):
        answer(torch.zeros(3, 1, 2, 2))
    assert seen == [False] * 6  # one answer, the bare network's first time, and two comparisons
    assert torch.backends.cudnn.benchmark

    guard = MeteredGuard(lambda images: 1 / 0, CPU)
    with pytest.raises(ZeroDivisionError):
        guard(torch.zeros(3, 1, 2, 2))
    assert torch.backends.cudnn.benchmark
