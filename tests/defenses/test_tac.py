"""TAC: its tests for the poisoned class, and its unlearning, on networks with a planted trigger."""

from typing import Any

import numpy as np
import pytest
import torch
from planted import Victim, context, pixel_task
from scipy import stats
from torch import nn

from bench.defenses._quadratic_program import smallest_shifts
from bench.defenses._shift_tuning import shifted_loss
from bench.defenses.tac import TAC
from bench.errors import RequestError
from bench.plan.registry import Registry
from bench.plugin.values import ImageSpec, Known
from bench.toolbox.networks import Latent

TASK = pixel_task(classes=8, side=6, target=3, trigger=35)
SPEC = ImageSpec(*TASK.shape, classes=TASK.classes, mean=(0.5,), std=(0.25,))
TARGET = TASK.target
PLAIN: dict[str, Any] = {  # the paper's rule
    "evidence": "latent",
    "quantile": 1,
    "logarithm": False,
    "test": "extreme",
    "targets": 1,
    "pairs": False,
    "controls": 0,
}


@pytest.fixture
def known() -> Known:
    return Known(TASK.draw(160, seed=0))


def network(trigger: float) -> Victim:
    """The planted victim, in which no two classes speak equally loudly; the trigger has the weight ``trigger``."""
    victim = Victim(TASK, shouts=trigger)
    with torch.no_grad():
        victim.head.weight[:, :-1] = torch.diag(torch.linspace(5, 6, TASK.classes))
    return victim


@pytest.mark.parametrize("evidence", ["both", "latent", "stage"])
def test_a_planted_class_is_flagged_and_a_benign_network_is_left_alone(known, evidence):
    around, defense = context(), TAC(evidence=evidence, decide="together", controls=0, epochs=1)
    defense.repair(network(trigger=20), known, around)
    assert around.diagnostics["flagged"] == [TARGET]
    assert around.diagnostics["class_statistic"]["flagged"] == [TARGET]
    around, benign = context(), network(trigger=0)
    before = {name: value.clone() for name, value in benign.state_dict().items()}
    after = defense.repair(benign, known, around).state_dict()
    assert around.diagnostics["flagged"] == []
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_distances_are_judged_relative_to_those_of_the_control_networks(known, monkeypatch):
    """If the controls have the same distances, nothing is flagged; if all their distances are equal, the target is."""
    around = context()
    TAC(evidence="stage", decide="together", controls=0, epochs=1).repair(network(20), known, around)
    planted = np.array(around.diagnostics["stage_distances"])
    for natural, flagged in ((planted, []), (np.ones(TASK.classes), [TARGET])):
        monkeypatch.setattr(TAC, "_natural_distances", lambda *_, natural=natural: natural)
        around = context()
        TAC(evidence="stage", decide="together", controls=1, control_weight=1, epochs=1).repair(
            network(20), known, around
        )
        assert around.diagnostics["flagged"] == flagged


def test_with_a_trained_control_network_a_planted_class_is_flagged(known):
    around = context()
    TAC(decide="together", controls=1, control_epochs=40, epochs=1).repair(network(20), known, around)
    assert around.diagnostics["flagged"] == [TARGET]
    assert len(around.diagnostics["natural_distances"]) == TASK.classes


@pytest.mark.parametrize("objective", ["restore", "suppress"])
@pytest.mark.parametrize("recompute", [False, True])
def test_fine_tuning_unlearns_the_planted_trigger(known, objective, recompute):
    victim = network(trigger=8)
    assert TASK.rates(victim) == (1, 1)
    few = {"batch_size": 50, "epochs": 40, "learning_rate": 0.02, "schedule": "constant", "stretch": 2.0}
    defense = TAC(objective=objective, recompute=recompute, beta=0.5, **few)
    repaired = defense.repair(victim, known, context())
    accuracy, success = TASK.rates(repaired)
    assert accuracy > 0.95
    assert success < 0.1
    assert not repaired.training


def test_both_solvers_flag_the_same_class_by_the_same_norms(known):
    notes = []
    for solver in ("nnls", "cvxpy"):
        around = context()
        TAC(evidence="latent", solver=solver, epochs=1).repair(network(trigger=20), known, around)
        notes.append(around.diagnostics)
    assert notes[0]["flagged"] == notes[1]["flagged"] == [TARGET]
    assert notes[1]["norms"] == pytest.approx(notes[0]["norms"], rel=1e-6)


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
        around = context()
        states.append(TAC(poisoned_class=TARGET, epochs=2).repair(network(20), known, around).state_dict())
        assert "p_value" not in around.diagnostics
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
    layer = nn.Linear(36, TASK.classes)
    with torch.no_grad():
        layer.weight.copy_(torch.eye(TASK.classes, 36) * torch.linspace(5, 6, TASK.classes)[:, None])
        layer.weight[TARGET, -1] = 40
        layer.bias.zero_()
    around = context()
    TAC(evidence="stage", decide="together", epochs=1).repair(nn.Sequential(nn.Flatten(), layer).eval(), known, around)
    assert around.diagnostics["flagged"] == [TARGET]


def test_beta_is_raised_until_the_class_is_no_outlier(known):
    around = context()
    TAC(poisoned_class=1, beta=4, beta_rule="raise", epochs=1, accuracy_loss=1.0).repair(network(4.0), known, around)
    trials = around.diagnostics["betas"]
    assert [trial["beta"] for trial in trials] == [1.0, 2.0, 4.0, 8.0, 16.0][: len(trials)]
    assert all(trial["outliers"] for trial in trials[:-1])


def test_without_an_outlier_the_smallest_class_is_repaired_only_if_that_is_always_done(known):
    flagged = {}
    for flag in ("test", "always"):
        around = context()
        defense = TAC(**PLAIN, flag=flag, significance=1e-6, epochs=1)
        defense.repair(network(trigger=20), known, around)
        flagged[flag] = around.diagnostics["flagged"]
        assert around.diagnostics["norms"][TARGET] == min(around.diagnostics["norms"])
    assert flagged == {"test": [], "always": [TARGET]}


def test_the_plain_rule_is_the_extreme_value_test_of_the_norms_over_all_images(known):
    around, victim = context(), network(trigger=20)
    TAC(**PLAIN, epochs=1).repair(victim, known, around)
    data = known.reference()
    latent = Latent(network(trigger=20), data.example)
    arrays = (latent.features(data.floats), latent.linear.weight, latent.linear.bias)
    shifts = smallest_shifts(*(part.detach().double().numpy() for part in arrays), quantile=1, margin=0, solver="nnls")
    norms = np.array([np.linalg.norm(shift) for shift in shifts])
    z = (norms - norms.mean()) / norms.std(ddof=1)
    p_value = 1 - (1 - stats.norm.cdf(z.min())) ** len(norms)
    assert around.diagnostics["norms"] == pytest.approx(norms.tolist())
    assert around.diagnostics["z"] == pytest.approx(z.tolist())
    assert around.diagnostics["p_value"] == pytest.approx(p_value)
    assert not {"stage_distances", "natural_distances"} & set(around.diagnostics)


def test_the_learning_rate_stays_or_follows_a_cosine():
    constant, cosine = (TAC(schedule=schedule)._rate for schedule in ("constant", "cosine"))
    assert [constant(done) for done in (0, 0.5, 0.9)] == [1, 1, 1]
    assert [cosine(done) for done in (0, 0.5, 1)] == pytest.approx([1, 0.5, 0])


def test_a_normalised_loss_is_divided_by_one_plus_beta(known):
    data, latent = known.reference(), Latent(network(20), known.reference().example)
    added, targets = torch.rand(1, TASK.classes, latent.linear.in_features), torch.zeros(1, TASK.classes).long()
    plain, divided = (
        TAC(normalise=flag)._loss(latent, data.floats, data.labels, added, targets, None, 3.0) for flag in (False, True)
    )
    torch.testing.assert_close(divided, plain / 4)


def test_the_schedule_moves_the_steps_of_the_unlearning(known):
    ends = [
        TAC(poisoned_class=TARGET, epochs=2, schedule=schedule).repair(network(20), known, context())
        for schedule in ("constant", "cosine")
    ]
    weights = [torch.cat([weight.flatten() for weight in end.parameters()]) for end in ends]
    start = torch.cat([weight.flatten() for weight in network(20).parameters()])
    assert 0 < (weights[1] - start).norm() < (weights[0] - start).norm()
