"""TAC: its tests for the poisoned class, and its unlearning, on networks with a planted trigger."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from bench.defenses._shift_tuning import shifted_loss
from bench.defenses.tac import TAC
from bench.errors import RequestError
from bench.plan.plan import Request, make_plan
from bench.plan.registry import Registry
from bench.plugin.values import Context, ImageSpec, Known, LabelledImages

CLASSES, TARGET = 8, 3
SPEC = ImageSpec(1, 6, 6, classes=CLASSES, mean=(0.5,), std=(0.25,))


@pytest.fixture
def known() -> Known:
    """Images whose pixel k is bright for class k, among noise."""
    labels = torch.arange(160) % CLASSES
    pixels = torch.randint(0, 60, (160, 36), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    pixels[torch.arange(160), labels] = 220
    pixels[:, -1] = 0
    return Known(LabelledImages(pixels.view(-1, 1, 6, 6), labels))


def network(trigger: float) -> nn.Module:
    """Logit k is a multiple of pixel k; the last pixel, times ``trigger``, votes for the class TARGET."""
    first, last = nn.Linear(36, 36), nn.Linear(36, CLASSES)
    with torch.no_grad():
        first.weight.copy_(torch.eye(36))
        first.bias.zero_()
        last.weight.copy_(torch.eye(CLASSES, 36) * torch.linspace(5, 6, CLASSES)[:, None])
        last.weight[TARGET, -1] = trigger
        last.bias.zero_()
    return nn.Sequential(nn.Sequential(nn.Flatten(), first, nn.ReLU()), last).eval()


def fresh() -> Context:
    return Context(torch.device("cpu"), torch.Generator().manual_seed(1))


def success(net: nn.Module, known: Known) -> float:
    images = known.clean.floats[known.clean.labels != TARGET].clone()
    images[..., -1, -1] = 0.4
    return (net(images).argmax(1) == TARGET).float().mean().item()


@pytest.mark.parametrize("evidence", ["both", "latent", "stage"])
def test_a_planted_class_is_flagged_and_a_benign_network_is_left_alone(known, evidence):
    context, defense = fresh(), TAC(evidence=evidence, controls=0, epochs=1)
    defense.repair(network(trigger=20), known, context)
    assert context.diagnostics["flagged"] == [TARGET]
    assert context.diagnostics["class_statistic"]["flagged"] == [TARGET]
    context, benign = fresh(), network(trigger=0)
    before = {name: value.clone() for name, value in benign.state_dict().items()}
    after = defense.repair(benign, known, context).state_dict()
    assert context.diagnostics["flagged"] == []
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_distances_are_judged_relative_to_those_of_the_control_networks(known, monkeypatch):
    """If the controls have the same distances, nothing is flagged; if all their distances are equal, the target is."""
    context = fresh()
    TAC(evidence="stage", controls=0, epochs=1).repair(network(20), known, context)
    planted = np.array(context.diagnostics["stage_distances"])
    for natural, flagged in ((planted, []), (np.ones(CLASSES), [TARGET])):
        monkeypatch.setattr(TAC, "_natural_distances", lambda *_, natural=natural: natural)
        context = fresh()
        TAC(evidence="stage", controls=1, control_weight=1, epochs=1).repair(network(20), known, context)
        assert context.diagnostics["flagged"] == flagged


def test_with_a_trained_control_network_a_planted_class_is_flagged(known):
    context = fresh()
    TAC(controls=1, epochs=1).repair(network(20), known, context)
    assert context.diagnostics["flagged"] == [TARGET]
    assert len(context.diagnostics["natural_distances"]) == CLASSES


@pytest.mark.parametrize("objective", ["restore", "suppress"])
@pytest.mark.parametrize("recompute", [False, True])
def test_fine_tuning_unlearns_the_planted_trigger(known, objective, recompute):
    net = network(trigger=20)
    assert success(net, known) == 1
    repaired = TAC(objective=objective, recompute=recompute, beta=0.5, epochs=40, learning_rate=0.02).repair(
        net, known, fresh()
    )
    assert success(repaired, known) < 0.1
    clean = known.clean
    assert (repaired(clean.floats).argmax(1) == clean.labels).float().mean() > 0.95
    assert not repaired.training


def test_both_solvers_flag_the_same_class_by_the_same_norms(known):
    notes = []
    for solver in ("nnls", "cvxpy"):
        context = fresh()
        TAC(evidence="latent", solver=solver, epochs=1).repair(network(trigger=20), known, context)
        notes.append(context.diagnostics)
    assert notes[0]["flagged"] == notes[1]["flagged"] == [TARGET]
    assert notes[1]["norms"] == pytest.approx(notes[0]["norms"], rel=1e-6)


def test_the_default_solver_leaves_the_key_of_a_cell_as_it_was():
    """The key is that of the version before there was a choice of solver."""
    request = Request(defenses="tac", attacks="badnets", datasets="digits", models="resnet18[width=16]")
    [cell] = make_plan(request, Registry(), Path()).cells
    assert cell.key == "32d8831eafcfb5785a5145f42172a000"


@pytest.mark.parametrize("solver", ["nnls", "cvxpy"])
@pytest.mark.parametrize("mode", ["python", "json"])
def test_the_solver_is_among_the_parameters_only_if_it_is_not_the_default(solver, mode):
    defense = TAC(solver=solver, beta=2)
    parameters = defense.model_dump(mode=mode)
    assert ("solver" in parameters) == (solver != "nnls")
    assert Registry().create("defense", "tac", parameters) == defense


def test_a_given_class_skips_identification_and_the_result_is_repeatable(known):
    states = []
    for _ in range(2):
        context = fresh()
        states.append(TAC(poisoned_class=TARGET, epochs=2).repair(network(20), known, context).state_dict())
        assert "p_value" not in context.diagnostics
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_the_loss_pushes_shifted_images_away_from_the_target_or_back_to_their_class():
    logits, labels = torch.tensor([[2.0, 1.0, 0.0], [0.0, 3.0, 1.0]]), torch.tensor([2, 1])
    away = -torch.log(1 - logits.softmax(1)[0, 1])  # the second image is of class 1 itself
    assert shifted_loss(logits, labels, torch.ones_like(labels), "suppress") == pytest.approx(away.item())
    assert shifted_loss(logits, labels, torch.ones_like(labels), "restore") == pytest.approx(
        -logits.log_softmax(1)[[0, 1], labels].mean().item()
    )


def test_a_class_that_the_data_set_does_not_have_is_refused():
    with pytest.raises(RequestError, match="poisoned_class=8"):
        TAC(poisoned_class=8).resolve(SPEC)


def test_a_network_of_one_layer_is_searched_from_its_images(known):
    net = nn.Sequential(nn.Flatten(), nn.Linear(36, CLASSES)).eval()
    with torch.no_grad():
        net[1].weight.copy_(torch.eye(CLASSES, 36) * torch.linspace(5, 6, CLASSES)[:, None])
        net[1].weight[TARGET, -1] = 40
        net[1].bias.zero_()
    context = fresh()
    TAC(evidence="stage", epochs=1).repair(net, known, context)
    assert context.diagnostics["flagged"] == [TARGET]


def test_beta_is_raised_until_the_class_is_no_outlier(known):
    context = fresh()
    TAC(poisoned_class=1, beta_rule="raise", epochs=1, accuracy_loss=1.0).repair(network(4.0), known, context)
    trials = context.diagnostics["betas"]
    assert [trial["beta"] for trial in trials] == [1.0, 2.0, 4.0, 8.0, 16.0][: len(trials)]
    assert all(trial["outliers"] for trial in trials[:-1])
