"""Unlearning a shift: the loop, and a random direction in place of the reconstructed one."""

import pytest
import torch
import torch.nn.functional as F
from planted import Victim, context, pixel_task

from bench.defenses._shift_tuning import Backdoor, randomly_directed
from bench.defenses.tac import TAC
from bench.plugin.values import Known
from bench.toolbox.networks import Latent
from bench.toolbox.training import autocast

TASK = pixel_task(classes=8, side=6, target=3, trigger=35)


@pytest.fixture
def known() -> Known:
    return Known(TASK.draw(160, seed=0))


def network(trigger: float = 8) -> Victim:
    victim = Victim(TASK, shouts=trigger)
    with torch.no_grad():
        victim.head.weight[:, :-1] = torch.diag(torch.linspace(5, 6, TASK.classes))
    return victim


@pytest.mark.parametrize(("hold", "weight"), [(0, 1.0), (1, 7.0)])  # of the target's clean images: 140 others, 20 own
def test_the_unlearning_is_to_the_last_digit_the_plain_loop(known, hold, weight):
    data, shift = known.reference(), torch.linspace(-1, 2, TASK.classes + 1)
    defense = TAC(objective="restore", beta=4, stretch=2, epochs=3, batch_size=50, schedule="constant", hold=hold)
    ours, plain = network(), network()
    rows = shift.expand(1, TASK.classes, -1)
    backdoors = [Backdoor.all_to_one(TASK.target, TASK.classes)]
    defense.unlearn(Latent(ours, data.example), backdoors, rows, data, defense.beta, context())
    generator = torch.Generator().manual_seed(0)
    optimizer = torch.optim.SGD(plain.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4)
    for _ in range(3):
        for index in torch.randperm(160, generator=generator).split(50):
            with autocast(torch.device("cpu")):
                latents = plain.flat(plain.body(data.at(index).floats))
                clean, shifted = plain.head(latents), plain.head(latents + 2 * shift)
            labels = data.labels[index]
            kept = F.cross_entropy(clean.float(), labels, reduction="none")
            kept = torch.where(labels == TASK.target, weight * kept, kept).mean()
            loss = kept + 4 * F.cross_entropy(shifted.float(), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    state = plain.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in ours.state_dict().items())


def test_clean_images_of_a_poisoned_class_weigh_as_many_as_are_pushed_away_from_it():
    counts = torch.tensor([30, 10, 2, 0])
    one = torch.tensor([[2, 2, 2, 2]])
    weights = TAC(hold=1)._weights(counts, one)
    assert weights is not None
    assert weights.tolist() == [1, 1, 20, 1]  # 40 others, 2 of its own
    half = TAC(hold=0.5)._weights(counts, one)
    assert half is not None
    assert half.tolist() == [1, 1, 10, 1]
    two = TAC(hold=1)._weights(counts, torch.tensor([[2, 2, 2, 2], [1, 1, 1, 1]]))
    assert two is not None  # each of two backdoors has half of the shifted images' weight: 32 / 2 others, 10 of its own
    assert two.tolist() == pytest.approx([1, 1.6, 10, 1])
    ring = TAC(hold=1)._weights(torch.tensor([10, 10, 10, 10]), torch.tensor([[1, 2, 3, 0]]))
    assert ring is not None
    assert ring.tolist() == [1, 1, 1, 1]  # all to all: as many are pushed away as there are
    assert TAC()._weights(counts, one) is None


def test_a_random_direction_keeps_the_lengths_and_is_one_for_all_classes_where_the_shift_is():
    generator = torch.Generator().manual_seed(0)
    shifts = torch.stack([torch.ones(4, 500), torch.rand(4, 500, generator=generator), torch.zeros(4, 500)])
    drawn = randomly_directed(shifts, generator)
    torch.testing.assert_close(drawn.norm(dim=2), shifts.norm(dim=2))
    assert torch.equal(drawn[0], drawn[0, :1].expand(4, -1))
    assert (torch.cosine_similarity(drawn[1, 0], drawn[1, 1:], dim=1).abs() < 0.2).all()  # the others have one each
    assert (torch.cosine_similarity(drawn[:2], shifts[:2], dim=2).abs() < 0.2).all()
    assert torch.equal(drawn, randomly_directed(shifts, torch.Generator().manual_seed(0).set_state(_before(shifts))))


def _before(shifts: torch.Tensor) -> torch.Tensor:
    """The state of the test's generator after it drew the shifts."""
    generator = torch.Generator().manual_seed(0)
    torch.rand(shifts.shape[1:], generator=generator)
    return generator.get_state()


def test_a_shift_in_a_random_direction_repairs_less_than_the_reconstructed_one(known):
    success, lengths = {}, {}
    for direction in ("reconstructed", "random"):
        around = context()
        defense = TAC(
            poisoned_class=TASK.target,
            direction=direction,
            objective="suppress",
            beta=1,
            stretch=1,
            epochs=40,
            learning_rate=0.02,
        )
        success[direction] = TASK.rates(defense.repair(network(), known, around))[1]
        lengths[direction] = around.diagnostics["shift_norm"]
    assert lengths["random"] == pytest.approx(lengths["reconstructed"])
    assert success["reconstructed"] < 0.2
    assert success["random"] > 0.8
