"""NPD: the polarizer's start, its statistics, the attack that trains it, and its loss."""

import copy

import pytest
import torch
from planted import FOUR_CLASSES, context, normalised_victim
from small_networks import random_convolutions
from torch import Tensor, nn

from bench.defenses.npd import NPD, Polarizer, attacked, avoided, inserted, runners_up
from bench.plugin.values import Known


def test_a_new_polarizer_is_the_identity() -> None:
    data = FOUR_CLASSES.draw(60, seed=3)
    model, before = normalised_victim(), normalised_victim()(data.floats)
    polarizer, network = inserted(model, -2, data.floats)
    assert polarizer.mix.weight.shape == (model.backdoor + 1, model.backdoor + 1)
    torch.testing.assert_close(network(data.floats), before, rtol=1e-3, atol=1e-3)
    assert any(module is polarizer for module in network.get_submodule("body").modules())
    polarizer.train()  # divides by the variance of the batch, which is 1/60 less than the estimate it keeps
    torch.testing.assert_close(network(data.floats), before, rtol=1e-2, atol=6e-2)


def test_the_polarizer_ends_with_the_statistics_of_the_reference_images() -> None:
    data, entering = FOUR_CLASSES.draw(120, seed=1), list[Tensor]()
    model = NPD(radius=0.7, epochs=3).repair(normalised_victim(), Known(data), context())
    [polarizer] = [module for module in model.modules() if isinstance(module, Polarizer)]
    polarizer.norm.register_forward_pre_hook(lambda _, inputs: entering.append(inputs[0]))
    model(data.floats)
    torch.testing.assert_close(polarizer.norm.running_mean, entering[0].mean(0), rtol=0.02, atol=0.01)  # half precision
    torch.testing.assert_close(polarizer.norm.running_var, entering[0].var(0), rtol=0.05, atol=1e-3)
    assert not polarizer.training


def test_the_attack_finds_the_trigger_within_its_radius() -> None:
    images, targets = FOUR_CLASSES.draw(40, seed=3).floats, torch.full((40,), FOUR_CLASSES.target)
    changes = attacked(
        normalised_victim(), images, torch.zeros(FOUR_CLASSES.classes, *FOUR_CLASSES.shape), targets, targets, 1.0, 2
    )
    assert bool(FOUR_CLASSES.trigger.flatten()[changes[FOUR_CLASSES.target].abs().argmax()])
    assert changes.flatten(1).norm(dim=1).max().item() <= 1 + 1e-5
    assert not changes[torch.arange(FOUR_CLASSES.classes) != FOUR_CLASSES.target].any()


def test_the_loss_of_the_target_is_minus_the_log_of_the_other_classes_probability() -> None:
    logits, targets = torch.randn(6, 4), torch.tensor([0, 1, 2, 3, 0, 1])
    probability = logits.softmax(1)[torch.arange(6), targets]
    torch.testing.assert_close(avoided(logits, targets), -(1 - probability).log().mean())


def test_the_runner_up_is_the_likeliest_class_but_the_images_own() -> None:
    logits, labels = torch.tensor([[3.0, 2, 1], [1.0, 3, 2]]), torch.tensor([0, 2])
    assert runners_up(logits, labels).tolist() == [1, 1]


def test_an_attack_by_signs_moves_every_pixel_by_a_tenth_within_the_radius() -> None:
    images, targets = FOUR_CLASSES.draw(8, seed=3).floats, torch.full((8,), FOUR_CLASSES.target)
    rows, start = torch.arange(8), torch.zeros(8, *FOUR_CLASSES.shape)
    model = random_convolutions(images, FOUR_CLASSES.classes, 1)
    changes = attacked(model, images, start, rows, targets, 3.0, 1, "sign")
    assert set(changes.abs().mul(1e4).round().unique().tolist()) <= {0.0, 1000.0}
    short = attacked(model, images, start, rows, targets, 0.2, 1, "sign")
    torch.testing.assert_close(short.flatten(1).norm(dim=1), torch.full((8,), 0.2))


def targets_of(aim: str) -> tuple[Tensor, Tensor]:
    data, model = FOUR_CLASSES.draw(40, seed=3), normalised_victim()
    return NPD(aim=aim)._targets(model, data.floats, data.labels, 4, context()), runners_up(
        model(data.floats), data.labels
    )


def test_the_attack_aims_at_random_or_at_the_second_class() -> None:
    drawn, second = targets_of("random")
    assert not torch.equal(drawn, second)
    assert torch.equal(*targets_of("second"))


def polarizer_of(**parameters: object) -> Polarizer:
    defense = NPD(**{"radius": 0.7, "epochs": 2, "batch_size": 40, **parameters})
    model = defense.repair(normalised_victim(), Known(FOUR_CLASSES.draw(120, seed=1)), context())
    [polarizer] = [module for module in model.modules() if isinstance(module, Polarizer)]
    return polarizer


def test_kept_statistics_are_those_at_the_start() -> None:
    start, _ = inserted(normalised_victim(), -2, FOUR_CLASSES.draw(120, seed=1).floats)
    kept, renewed = polarizer_of(statistics="kept"), polarizer_of()
    assert torch.equal(kept.norm.running_mean, start.norm.running_mean)
    assert not torch.equal(renewed.norm.running_mean, start.norm.running_mean)
    assert not torch.equal(kept.mix.weight, start.mix.weight)


def test_a_warm_up_moves_the_polarizer_and_its_statistics_a_little() -> None:
    start, _ = inserted(normalised_victim(), -2, FOUR_CLASSES.draw(120, seed=1).floats)
    data, polarizer = FOUR_CLASSES.draw(120, seed=1), copy.deepcopy(start)
    model = normalised_victim()
    polarizer, network = inserted(model, -2, data.floats)
    NPD(warm_up=3, batch_size=40)._warm_up(polarizer, network, data, context())
    change = (polarizer.mix.weight - start.mix.weight).abs().max().item()
    assert 0 < change < 0.05
    assert not torch.equal(polarizer.norm.running_mean, start.norm.running_mean)
    assert not polarizer.training


def test_the_optimizer_is_the_one_that_is_asked_for() -> None:
    weights = [nn.Parameter(torch.ones(2))]
    sgd = NPD(optimizer="sgd")._optimizer(weights)
    assert isinstance(sgd, torch.optim.SGD)
    assert (sgd.defaults["momentum"], sgd.defaults["weight_decay"]) == (0.9, 5e-4)
    assert isinstance(NPD()._optimizer(weights), torch.optim.Adam)


def test_the_runner_ups_weight_changes_what_is_learned() -> None:
    same = [polarizer_of(weight_runner_up=weight).mix.weight for weight in (0.0, 0.0, 2.0)]
    assert torch.equal(same[0], same[1])
    assert not torch.equal(same[0], same[2])


def test_what_is_asked_of_warm_up_and_attack_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    attacks = []

    def record(*arguments: object) -> Tensor:
        attacks.append(arguments[-1])
        return attacked(*arguments)

    monkeypatch.setattr("bench.defenses.npd.attacked", record)
    cold = polarizer_of(statistics="kept", epochs=1)
    warm = polarizer_of(statistics="kept", epochs=1, warm_up=2)
    assert not torch.equal(cold.norm.running_mean, warm.norm.running_mean)
    for perturbation in ("universal", "image"):
        polarizer_of(attack="sign", perturbation=perturbation, epochs=1)
    assert attacks == ["gradient"] * 6 + ["sign"] * 6
