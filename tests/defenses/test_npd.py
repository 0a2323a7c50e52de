"""NPD: the polarizer's start, its statistics, the attack that trains it, and its loss."""

import torch
from planted import FOUR_CLASSES, context, normalised_victim
from torch import Tensor

from bench.defenses.npd import NPD, Polarizer, attacked, avoided, inserted
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
