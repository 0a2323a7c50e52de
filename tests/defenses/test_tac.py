"""TAC: its quadratic program against cvxpy, its tests for the poisoned class, and its unlearning."""

from pathlib import Path

import cvxpy
import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

from bench.datasets.digits import Digits
from bench.defenses._perturbation import (
    constraints,
    distances,
    least_distance,
    small_outliers,
    smallest_is_outlier,
    smallest_shifts,
)
from bench.defenses._shift_tuning import shifted_loss
from bench.defenses._tac_evidence import all_to_all, pair_residuals, reinitialised
from bench.defenses.tac import TAC
from bench.errors import RequestError
from bench.models.resnet18 import ResNet18
from bench.plugin.values import Context, ImageSpec, Known, LabelledImages
from bench.toolbox.networks import Latent
from bench.toolbox.training import Recipe, train

CLASSES, TARGET = 8, 3
SPEC = ImageSpec(1, 6, 6, classes=CLASSES, mean=(0.5,), std=(0.25,))


def problem(classes, dimensions, images=40, seed=0):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((images, dimensions)), rng.standard_normal((classes, dimensions)), rng.random(classes)


def cvxpy_norm(normals, bounds):
    shift = cvxpy.Variable(normals.shape[1])
    program = cvxpy.Problem(cvxpy.Minimize(cvxpy.sum_squares(shift)), [normals @ shift >= bounds])
    program.solve(solver="CLARABEL", tol_gap_abs=1e-12, tol_gap_rel=1e-12, tol_feas=1e-12)
    return np.linalg.norm(shift.value) if program.status.startswith("optimal") else np.inf


def every_image(features, weight, bias, target, margin=0.0):
    """The program as the paper writes it: a constraint for each image and each other class."""
    others = [j for j in range(len(weight)) if j != target]
    rows = [(weight[target] - weight[j], x, bias[target] - bias[j]) for x in features for j in others]
    return np.array([row for row, _, _ in rows]), np.array([margin - offset - row @ x for row, x, offset in rows])


@pytest.mark.parametrize(
    ("classes", "dimensions", "margin"), [(10, 64, 0.0), (10, 64, 1.5), (30, 40, 0.1), (3, 5, 0.0)]
)
def test_the_compressed_program_has_the_solution_of_the_whole_one(classes, dimensions, margin):
    features, weight, bias = problem(classes, dimensions)
    shifts = smallest_shifts(features, weight, bias, margin=margin)
    for target in range(3):
        normals, bounds = every_image(features, weight, bias, target, margin)
        assert np.linalg.norm(shifts[target]) == pytest.approx(cvxpy_norm(normals, bounds), rel=1e-6)
        assert (normals @ shifts[target] >= bounds - 1e-9).all()


def test_the_program_of_a_real_network_has_cvxpys_solution():
    """A ResNet-18 trained on real digits, 512 latent dimensions, 200 images: every class."""
    torch.manual_seed(0)
    data = Digits(train_size=300).splits(Path()).train
    model = ResNet18(stem="imagenet").build(Digits().spec)
    recipe = Recipe(epochs=3, batch_size=50, learning_rate=0.05, schedule="one-cycle")
    train(model, data, recipe, torch.Generator().manual_seed(0))
    latent = Latent(model, data.floats[:1])
    with torch.no_grad():
        values = (latent.features(data.floats[:200]), latent.linear.weight, latent.linear.bias)
    features, weight, bias = (value.detach().double().numpy() for value in values)
    shifts = smallest_shifts(features, weight, bias)
    expected = [cvxpy_norm(*constraints(features @ weight.T + bias, weight, target)) for target in range(10)]
    assert [np.linalg.norm(shift) for shift in shifts] == pytest.approx(expected, rel=1e-6)


def test_more_classes_than_dimensions_are_solved_where_they_can_be_and_named_where_not():
    features, weight, bias = problem(12, 3, seed=1)
    logits = features @ weight.T + bias
    expected = [cvxpy_norm(*constraints(logits, weight, target)) for target in range(12)]
    found = [np.inf if s is None else np.linalg.norm(s) for s in smallest_shifts(features, weight, bias)]
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert np.isinf(found).any()
    assert np.isfinite(found).any()


def test_a_class_inside_the_hull_of_the_others_has_no_shift():
    features, weight, bias = problem(5, 16)
    weight[2] = weight[[0, 1, 3, 4]].mean(0)
    assert [s is None for s in smallest_shifts(features, weight, bias, margin=50)] == [False, False, True, False, False]


def test_a_class_that_all_images_have_needs_no_shift():
    assert np.array_equal(least_distance(np.eye(2), np.array([-1.0, 0.0])), np.zeros(2))


def test_a_quantile_leaves_odd_images_aside():
    features, weight, bias = problem(4, 16, images=100)
    odd = np.vstack((features, 50 * features[:1]))
    plain = np.linalg.norm(smallest_shifts(features, weight, bias, quantile=0.98)[1])
    assert np.linalg.norm(smallest_shifts(odd, weight, bias, quantile=0.98)[1]) == pytest.approx(plain, rel=0.2)
    assert np.linalg.norm(smallest_shifts(odd, weight, bias)[1]) > 2 * plain


def test_distances_to_a_linear_classifier_are_those_of_the_program():
    features, weight, bias = problem(5, 8, images=20)
    layer = nn.Linear(8, 5).double()
    layer.weight.data, layer.bias.data = torch.from_numpy(weight), torch.from_numpy(bias)
    found = distances(layer, torch.from_numpy(features), 5, steps=100).numpy()
    logits = features @ weight.T + bias
    exact = [[np.linalg.norm(least_distance(*constraints(row[None], weight, k))) for row in logits] for k in range(5)]
    assert (found >= np.array(exact) - 1e-9).all()
    np.testing.assert_allclose(np.mean(found), np.mean(exact), rtol=0.1)


def test_z_is_bounded_and_the_p_value_of_the_bound_is_nothing():
    for count in (3, 10, 43):
        values = np.ones(count)
        values[1] = 0
        outlier = smallest_is_outlier(values)
        assert outlier.index == 1
        assert outlier.z[1] == pytest.approx(-(count - 1) / np.sqrt(count))
        assert outlier.p_value < 1e-3


def test_the_tests_flag_as_often_as_their_level_says():
    draws = np.random.default_rng(0).standard_normal((4000, 10))
    rate = np.mean([smallest_is_outlier(values).p_value <= 0.05 for values in draws])
    assert rate == pytest.approx(0.05, abs=0.012)
    assert smallest_is_outlier(np.array([0.0, 5, 6, 7]), "extreme").p_value == pytest.approx(
        1 - stats.norm.sf((0 - 4.5) / np.std([0, 5, 6, 7], ddof=1)) ** 4
    )


def test_infinite_norms_take_no_part():
    with_infinite = smallest_is_outlier(np.array([np.inf, 5, 4, 1.0, 6, 5]))
    assert with_infinite.index == 3
    assert np.isnan(with_infinite.z[0])
    assert with_infinite.p_value == smallest_is_outlier(np.array([5, 4, 1.0, 6, 5])).p_value


@pytest.fixture
def known() -> Known:
    """Images whose pixel k is bright for class k, among noise."""
    labels = torch.arange(160) % CLASSES
    pixels = torch.randint(0, 60, (160, 36), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    pixels[torch.arange(160), labels] = 220
    pixels[:, -1] = 0
    return Known(LabelledImages(pixels.view(-1, 1, 6, 6), labels))


def network(trigger: float) -> nn.Module:
    """Logit k is a multiple of pixel k; the last pixel, times ``trigger``, speaks for the class TARGET."""
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


def test_a_control_network_is_new_and_the_same_again(known):
    net = network(20)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    state = torch.get_rng_state()
    first, again = (reinitialised(net, torch.Generator().manual_seed(5)).state_dict() for _ in range(2))
    other = reinitialised(net, torch.Generator().manual_seed(6)).state_dict()
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not any(torch.equal(first[name], value) for name, value in before.items())
    assert not any(torch.equal(first[name], other[name]) for name in first)
    assert all(torch.equal(net.state_dict()[name], value) for name, value in before.items())
    assert torch.equal(torch.get_rng_state(), state)


def test_what_is_natural_for_a_class_is_taken_off(known, monkeypatch):
    """Controls that keep the classes at the very same distances leave nothing to flag; even ones leave all of it."""
    context = fresh()
    TAC(evidence="stage", controls=0, epochs=1).repair(network(20), known, context)
    planted = np.array(context.diagnostics["stage_distances"])
    for natural, flagged in ((planted, []), (np.ones(CLASSES), [TARGET])):
        monkeypatch.setattr(TAC, "_natural_distances", lambda *_, natural=natural: natural)
        context = fresh()
        TAC(evidence="stage", controls=1, control_weight=1, epochs=1).repair(network(20), known, context)
        assert context.diagnostics["flagged"] == flagged


def test_controls_are_trained_and_a_planted_class_is_flagged_beside_them(known):
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


def test_a_given_class_skips_identification_and_results_repeat(known):
    states = []
    for _ in range(2):
        context = fresh()
        states.append(TAC(poisoned_class=TARGET, epochs=2).repair(network(20), known, context).state_dict())
        assert "p_value" not in context.diagnostics
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_shifted_images_are_pushed_from_the_class_or_back_to_their_own():
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


# --- several targets, all-to-all, and the choice of beta ---------------------------------------------


def test_two_equal_outliers_do_not_hide_each_other():
    values = np.array([5.0, 5.1, 1.0, 4.9, 5.05, 1.05, 4.95, 5.02, 4.98, 5.0])
    assert smallest_is_outlier(values).p_value > 0.05
    assert small_outliers(values, 0.05, 3)[0] == [2, 5]
    assert small_outliers(values, 0.05, 1)[0] == []
    assert small_outliers(np.delete(values, [2, 5]), 0.05, 3)[0] == []


def test_a_class_beyond_the_first_has_a_level_of_its_own():
    draw = np.random.default_rng(0)
    counts = {0.1: 0, 0.01: 0}
    for _ in range(600):
        values = draw.standard_normal(10)
        values[4] = -9.0
        for level in counts:
            found = small_outliers(values, 0.1, 3, further=level)[0]
            assert found[0] == 4
            counts[level] += len(found) > 1
    assert counts[0.01] / 600 == pytest.approx(0.015, abs=0.015)
    assert counts[0.1] / 600 == pytest.approx(0.1, abs=0.05)


def test_all_to_all_shows_in_the_pairs_and_nothing_else_does():
    draw = np.random.default_rng(0)
    logs = draw.normal(0, 0.1, (10, 10)) + draw.normal(0, 1, (10, 1)) + draw.normal(0, 1, 10)
    np.fill_diagonal(logs, np.nan)
    assert all_to_all(pair_residuals(logs)) == {}
    one = logs.copy()
    one[3] -= 2  # every class is close to one: all-to-one
    assert all_to_all(pair_residuals(one)) == {}
    crowd = logs.copy()  # every class is led somewhere, and five of them to a class that others are led to
    for source in range(10):
        crowd[[1, 2, 3, 4, 5, 1, 2, 3, 4, 6][source], source] -= 1.0
    assert all_to_all(pair_residuals(crowd)) == {}
    for source in range(10):
        logs[(source + 1) % 10, source] -= 1.0
    assert all_to_all(pair_residuals(logs)) == {source: (source + 1) % 10 for source in range(10)}


def test_beta_is_raised_on_reference_images_alone(known):
    context = fresh()
    TAC(poisoned_class=1, beta_rule="raise", epochs=1, accuracy_loss=1.0).repair(network(4.0), known, context)
    tried = context.diagnostics["betas"]
    assert [one["beta"] for one in tried] == [1.0, 2.0, 4.0, 8.0, 16.0][: len(tried)]
    assert all(one["outliers"] for one in tried[:-1])
