"""What only the harness can tell: the true shift of the latent, the oracle that unlearns it, a stream's curve."""

import pytest
import torch
from torch import nn

from bench.cell.backdoors import TriggeredSet
from bench.cell.diagnostics import shift_agreement
from bench.cell.stream import stream_curve
from bench.defenses.true_tac import TrueTAC, true_shifts
from bench.plugin.values import Context, Known, LabelledImages, Secret

CLASSES, TARGET = 3, 1


class Victim(nn.Module):
    """Pixel k speaks for class k; pixel 3, which the trigger makes white, for the target."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(4, 4, bias=False))
        self.head = nn.Linear(4, CLASSES)
        with torch.no_grad():
            self.body[1].weight.copy_(torch.eye(4))
            self.head.weight.copy_(torch.eye(3, 4) * 8)
            self.head.weight[TARGET, 3] = 20
            self.head.bias.zero_()

    def forward(self, images):
        return self.head(self.body(images))


def draw(count: int, seed: int) -> LabelledImages:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % CLASSES
    pixels = torch.randint(0, 50, (count, 1, 2, 2), generator=generator, dtype=torch.uint8)
    pixels.view(count, 4)[torch.arange(count), labels] = 220
    pixels[:, 0, 1, 1] = 0
    return LabelledImages(pixels, labels)


def triggered(images: torch.Tensor) -> torch.Tensor:
    changed = images.clone()
    changed[:, 0, 1, 1] = 1.0
    return changed


def context() -> Context:
    return Context(torch.device("cpu"), torch.Generator().manual_seed(0))


def secret(data: LabelledImages) -> Secret:
    data = data.at(data.labels != TARGET)
    targets = torch.full_like(data.labels, TARGET)
    return Secret(data, triggered(data.floats), targets, Victim)


def test_the_oracle_unlearns_the_true_shift():
    victim, test, noted = Victim().eval(), draw(60, 2), context()
    away = test.labels != TARGET
    assert (victim(triggered(test.floats)).argmax(1)[away] == TARGET).all()
    oracle = TrueTAC(epochs=40, learning_rate=0.05, batch_size=30)
    repaired = oracle.reveal(victim, Known(draw(60, 0)), secret(draw(30, 1)), noted)
    predicted = repaired(triggered(test.floats)).argmax(1)
    assert (predicted == test.labels).float().mean() > 0.95
    assert noted.diagnostics["latent_shifts"][str(TARGET)] == pytest.approx([0, 0, 0, 1.0], abs=1e-4)


def test_without_a_trigger_there_is_nothing_to_change():
    empty = draw(0, 0)
    nothing = Secret(empty, empty.floats, empty.labels, Victim)
    victim = Victim().eval()
    before = [parameter.clone() for parameter in victim.parameters()]
    repaired = TrueTAC().reveal(victim, Known(draw(30, 0)), nothing, context())
    assert all(torch.equal(a, b) for a, b in zip(before, repaired.parameters(), strict=True))


def test_every_target_has_a_true_shift_and_all_to_all_has_one_for_each_class():
    labels = torch.tensor([0, 0, 1, 1, 2, 2])
    change = torch.eye(6)
    several, rows = true_shifts(change, labels, torch.tensor([2, 1, 2, 0, 1, 0]), 3)
    assert [one.targets for one in several] == [(0,) * 3, (1,) * 3, (2,) * 3]
    assert torch.equal(rows[2, 0], torch.tensor([0.5, 0, 0.5, 0, 0, 0]))
    assert torch.equal(rows[2, 0], rows[2, 1])
    [one], rows = true_shifts(change, labels, (labels + 1) % 3, 3)
    assert one.targets == (1, 2, 0)
    assert torch.equal(rows[0, 1], torch.tensor([0, 0, 0.5, 0.5, 0, 0]))


def test_a_shift_is_compared_with_the_change_that_the_trigger_causes():
    test = draw(60, 2)
    images = TriggeredSet(test, triggered(test.floats), torch.full_like(test.labels, TARGET))
    shifts = {str(TARGET): [0.0, 0.0, 0.0, 3.0], "0": [1.0, 0.0, 0.0, 0.0]}
    agreement = shift_agreement(shifts, Victim().eval(), images)
    assert list(agreement) == [str(TARGET)]
    assert agreement[str(TARGET)] == pytest.approx({"cosine": 1.0, "correlation": 1.0, "length": 3.0}, abs=1e-5)
    slanted = shift_agreement({str(TARGET): [1.0, 0, 0, 1.0]}, Victim().eval(), images)
    assert slanted[str(TARGET)]["cosine"] == pytest.approx(0.5**0.5, abs=1e-5)
    assert slanted[str(TARGET)]["correlation"] == pytest.approx(1 / 3**0.5, abs=1e-5)


def test_a_stream_is_measured_in_parts_in_its_own_order():
    labels, targets = torch.tensor([0, 1, 2, 2, 0]), torch.full((5,), TARGET)
    logits = torch.eye(CLASSES)
    clean, attacked = logits[torch.tensor([0, 1, 2, 0, 0])], logits[torch.tensor([1, 1, 1, 2, 0])]
    stream = torch.tensor([5, 0, 6, 3, 7, 1, 8, 2, 9, 4])  # a triggered image, a clean one, and so on
    curve = stream_curve({"clean_logits": clean, "triggered_logits": attacked}, labels, targets, stream)
    assert curve["triggered"] == [1, 1, 1, 1, 2, 2, 3, 3, 4, 4]  # image 6 is of the target class
    assert curve["asr"] == [1, None, None, None, 1, None, 0, None, 0, None]
    assert curve["ra"] == [0, None, None, None, 0, None, 1, None, 1, None]
    assert curve["acc"] == [None, 1, None, 0, None, 1, None, 1, None, 1]
