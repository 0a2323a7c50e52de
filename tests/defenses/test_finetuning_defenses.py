"""The defenses that fine-tune, on hand-made networks in which it is known where the backdoor sits."""

import contextlib
import copy
import math
from collections.abc import Sequence

import pytest
import timm
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import bench.toolbox.training
from bench.defenses._finetuning import usual_batch
from bench.defenses._losses import jensen_shannon_of_logits as divergence
from bench.defenses.fst import FST, Shift, reinitialise
from bench.defenses.ft import FT
from bench.defenses.ft_sam import FTSAM, Sharpness, perturbation
from bench.defenses.i_bau import IBAU, hypergradient
from bench.defenses.nad import NAD, Distillation, attended, attention
from bench.defenses.sau import SAU, shared_loss
from bench.plugin.attack import as_bytes
from bench.plugin.defense import Repair
from bench.plugin.images import batches
from bench.plugin.values import Context, Known, LabelledImages
from bench.toolbox.training import Recipe, train

CLASSES, SIDE, TARGET, TRIGGER = 3, 6, 2, 30  # a bright pixel TRIGGER leads to TARGET
QUICK: list[Repair] = [
    FT(epochs=2),
    FTSAM(epochs=2),
    NAD(epochs=1, teacher_epochs=1),
    FST(epochs=2),
    IBAU(rounds=1, inner_steps=3, learning_rate=1e-3),
    SAU(rounds=1, learning_rate=1e-3),
]


class Victim(nn.Module):
    """Channel c is pixel c and speaks for class c; the last channel is the trigger's pixel and shouts TARGET."""

    def __init__(self) -> None:
        super().__init__()
        channels = nn.Linear(SIDE**2, CLASSES + 1)
        self.body = nn.Sequential(nn.Flatten(), channels, nn.ReLU())
        self.head = nn.Linear(CLASSES + 1, CLASSES)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.zero_()
            channels.weight[:CLASSES, :CLASSES] = torch.eye(CLASSES)
            channels.weight[CLASSES, TRIGGER] = 1
            channels.bias.fill_(0.1)  # no channel sleeps
            self.head.weight[:, :CLASSES] = 6 * torch.eye(CLASSES)
            self.head.weight[TARGET, CLASSES] = 12
        self.eval()

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(self.body(images))
        return logits


class Conv(nn.Module):
    """Two stages with batch normalisation, random weights."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        self.early = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU())
        self.late = nn.Sequential(nn.Conv2d(4, 6, 3, stride=2), nn.BatchNorm2d(6), nn.ReLU())
        self.head = nn.Linear(6, CLASSES)
        draws = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.copy_(torch.randn(parameter.shape, generator=draws) * 0.3 + (parameter.ndim == 1) * 0.5)
        self.eval()

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(self.late(self.early(images)).mean((2, 3)))
        return logits


def context(seed: int = 0) -> Context:
    return Context(torch.device("cpu"), torch.Generator().manual_seed(seed))


def draw(count: int, seed: int) -> LabelledImages:
    """Noise, and 0.7 more at the pixel of the label; the trigger's pixel is black."""
    labels = torch.arange(count) % CLASSES
    pixels = torch.rand(count, SIDE**2, generator=torch.Generator().manual_seed(seed)) * 0.2
    pixels[torch.arange(count), labels] += 0.7
    pixels[:, TRIGGER] = 0
    return LabelledImages(as_bytes(pixels.view(count, 1, SIDE, SIDE)), labels)


def triggered(images: Tensor) -> Tensor:
    changed = images.flatten(1).clone()
    changed[:, TRIGGER] = 1
    return changed.view_as(images)


def accuracy(model: nn.Module, images: Tensor, labels: Tensor) -> float:
    return float((model(images).argmax(1) == labels).float().mean())


# --- every one of them -------------------------------------------------------------------------------


@pytest.mark.parametrize("defense", QUICK, ids=lambda defense: defense.name)
@pytest.mark.parametrize("architecture", ["conv", "vit"])
def test_any_network_is_trained_the_same_way_twice_and_left_in_eval_mode(defense: Repair, architecture: str) -> None:
    victim: nn.Module = Conv()
    data = draw(30, seed=1)
    if architecture == "vit":
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            sizes = {"img_size": 6, "patch_size": 3, "in_chans": 1, "embed_dim": 12, "depth": 2, "num_heads": 2}
            victim = timm.create_model("vit_tiny_patch16_224", num_classes=CLASSES, **sizes).eval()
    untouched = torch.get_rng_state()
    first, second = (defense.repair(copy.deepcopy(victim), Known(data), context(4)) for _ in range(2))
    assert torch.equal(torch.get_rng_state(), untouched)
    assert not first.training
    assert all(weight.requires_grad for weight in first.parameters())
    assert bool(first(data.floats).isfinite().all())
    assert any(not torch.equal(one, other) for one, other in zip(first.parameters(), victim.parameters(), strict=True))
    for one, other in zip(first.state_dict().values(), second.state_dict().values(), strict=True):
        assert torch.equal(one, other)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in first.modules())


@pytest.mark.parametrize(
    "defense",
    [
        FST(epochs=20, learning_rate=0.1),
        IBAU(rounds=10, learning_rate=0.03, radius=0.5, share=0.5, inner_rate=1, inner_steps=5, fixed_point_rate=0.01),
        SAU(rounds=10, learning_rate=0.03, epsilon=0.5),
    ],
    ids=lambda defense: defense.name,
)
def test_the_trigger_no_longer_leads_to_the_target(defense: Repair) -> None:
    test = draw(60, seed=2)
    others = test.labels != TARGET
    images, labels = triggered(test.floats)[others], test.labels[others]
    assert accuracy(Victim(), images, labels) == 0
    repaired = defense.repair(Victim(), Known(draw(60, seed=1)), context())
    assert accuracy(repaired, images, labels) > 0.9
    assert accuracy(repaired, test.floats, test.labels) > 0.95


@pytest.mark.parametrize("count", [50, 1000])
def test_a_batch_is_a_tenth_but_never_tiny(count: int) -> None:
    assert usual_batch(count) == {50: 20, 1000: 100}[count]


# --- fine-tuning -------------------------------------------------------------------------------------


def test_fine_tuning_is_sgd_with_a_cosine_schedule(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        bench.toolbox.training, "autocast", lambda device: contextlib.nullcontext()
    )  # bf16 would blur it
    data, epochs = draw(40, seed=1), 3
    repaired = FT(epochs=epochs, learning_rate=0.05).repair(Victim(), Known(data), context(7))
    expected, generator = Victim(), torch.Generator().manual_seed(7)
    momenta = [torch.zeros_like(weight) for weight in expected.parameters()]
    order = [index for _ in range(epochs) for index in batches(40, 20, generator, torch.device("cpu"))]
    for done, index in enumerate(order):
        loss = F.cross_entropy(expected(data.at(index).floats), data.labels[index])
        slopes = torch.autograd.grad(loss, list(expected.parameters()))
        rate = 0.05 * (1 + math.cos(math.pi * done / (epochs * 2))) / 2
        with torch.no_grad():
            for weight, slope, momentum in zip(expected.parameters(), slopes, momenta, strict=True):
                momentum.mul_(0.9).add_(slope + 5e-4 * weight)
                weight -= rate * momentum
    assert len(order) == epochs * 2
    for one, other in zip(repaired.parameters(), expected.parameters(), strict=True):
        torch.testing.assert_close(one, other)


# --- FT-SAM ------------------------------------------------------------------------------------------


def test_no_perturbation_of_that_adaptive_norm_raises_the_loss_more() -> None:
    draws = torch.Generator().manual_seed(0)
    shapes: Sequence[tuple[int, ...]] = [(4, 3), (5,)]
    weights, gradients = ([torch.randn(shape, generator=draws) for shape in shapes] for _ in range(2))
    found = perturbation(weights, gradients, rho=2.0)

    def norm(shifts: Sequence[Tensor]) -> Tensor:
        return torch.cat([(shift / weight).flatten() for shift, weight in zip(shifts, weights, strict=True)]).norm()

    def rise(shifts: Sequence[Tensor]) -> float:
        return float(sum((shift * slope).sum() for shift, slope in zip(shifts, gradients, strict=True)))

    torch.testing.assert_close(norm(found), torch.tensor(2.0))
    for _ in range(300):
        other = [shift + torch.randn(shift.shape, generator=draws) * 0.2 for shift in found]
        other = [shift * (2 / norm(other)) for shift in other]
        assert rise(other) <= rise(found) + 1e-5


def test_the_loss_and_its_gradient_are_those_of_the_worst_weights() -> None:
    data, model = draw(20, seed=1), Conv().train()
    images, labels = data.floats, data.labels
    moved = copy.deepcopy(model)
    weights = list(moved.parameters())
    slopes = torch.autograd.grad(F.cross_entropy(moved(images), labels, label_smoothing=0.1), weights)
    scaled = torch.cat([(weight * slope).flatten() for weight, slope in zip(weights, slopes, strict=True)])
    with torch.no_grad():
        for weight, slope in zip(weights, slopes, strict=True):
            weight += 0.5 * weight.square() * slope / scaled.norm()
    expected = F.cross_entropy(moved(images), labels, label_smoothing=0.1)
    found = Sharpness(0.5, 0.1).loss(model, images, labels, 0.0)
    torch.testing.assert_close(found, expected)
    pairs = zip(
        torch.autograd.grad(found, list(model.parameters())), torch.autograd.grad(expected, weights), strict=True
    )
    for one, other in pairs:
        torch.testing.assert_close(one, other)


def test_the_statistics_are_those_of_the_weights_themselves() -> None:
    data, model, plain = draw(20, seed=1), Conv().train(), Conv().train()
    Sharpness(5.0, 0.0).loss(model, data.floats, data.labels, 0.0)
    plain(data.floats)
    for one, other in zip(model.buffers(), plain.buffers(), strict=True):
        torch.testing.assert_close(one, other)


# --- NAD ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", ["channels first", "channels last", "tokens"])
def test_an_attention_map_sums_over_channels_and_has_length_one(layout: str) -> None:
    activations = torch.randn(2, 3, 5, 5, generator=torch.Generator().manual_seed(0))
    expected = torch.zeros(2, 25)
    for image in range(2):
        for place in range(25):
            expected[image, place] = sum(abs(activations[image, c, place // 5, place % 5]) ** 3 for c in range(3))
        expected[image] /= (expected[image] ** 2).sum().sqrt()
    given = {"channels first": activations, "channels last": activations.permute(0, 2, 3, 1)}
    given["tokens"] = given["channels last"].reshape(2, 25, 3)
    torch.testing.assert_close(attention(given[layout], 3.0), expected)


def test_the_distillation_loss_is_the_paper_s() -> None:
    data, student, teacher = draw(20, seed=1), Conv(seed=1), Conv(seed=2)
    nets = [[model.early, model.late] for model in (teacher, student)]
    found = Distillation(teacher, *nets, betas=(9.0, 5.0, 7.0), power=2.0).loss(
        student, data.floats, data.labels, 0.0
    )  # two stages: the last two betas
    expected = F.cross_entropy(student(data.floats), data.labels)
    early = [model.early(data.floats) for model in (student, teacher)]
    late = [model.late(x) for model, x in zip((student, teacher), early, strict=True)]
    for beta, (one, other) in ((5.0, early), (7.0, late)):
        maps = [x.square().sum(1).flatten(1) for x in (one, other)]
        maps = [x / x.norm(dim=1, keepdim=True) for x in maps]
        expected = expected + beta * (maps[0] - maps[1]).square().mean()
    torch.testing.assert_close(found, expected)


def test_the_student_comes_to_look_where_its_teacher_looks() -> None:
    data, teacher, students = draw(60, seed=1), Conv(seed=2), (Conv(seed=1), Conv(seed=1))
    recipe = Recipe(epochs=20, batch_size=20, learning_rate=0.02, schedule="cosine", augment=False)
    for student, beta in zip(students, (0.0, 50.0), strict=True):
        nets = [[model.early, model.late] for model in (teacher, student)]
        objective = Distillation(teacher, *nets, betas=(beta, beta), power=2.0)
        train(student, data, recipe, torch.Generator().manual_seed(0), objective=objective)
    maps = [attended(model, [model.early, model.late], data.floats, 2.0)[1] for model in (teacher, *students)]
    without, with_it = (
        sum(float(F.mse_loss(one, other).detach()) for one, other in zip(found, maps[0], strict=True))
        for found in maps[1:]
    )
    assert with_it < 0.5 * without


# --- FST ---------------------------------------------------------------------------------------------


def test_the_new_last_layer_is_random_and_reproducible() -> None:
    layers = [nn.Linear(50, 4) for _ in range(2)]
    for layer in layers:
        reinitialise(layer, torch.Generator().manual_seed(5))
    weight, bias = layers[0].weight, layers[0].bias
    assert torch.equal(weight, layers[1].weight)
    assert torch.equal(bias, layers[1].bias)
    assert 0.9 < float(weight.detach().abs().max()) * 50**0.5 <= 1


def test_the_last_layer_turns_away_from_what_it_was_at_the_same_norm() -> None:
    old, data = Victim().head.weight.detach(), draw(60, seed=1)
    products = []
    for alpha in (0.0, 0.2):
        victim = Victim()
        weight = FST(alpha=alpha).repair(victim, Known(data), context()).get_parameter("head.weight").detach()
        torch.testing.assert_close(weight.norm(), old.norm())
        products.append(float((weight * old).sum()))
    assert products[1] < products[0]


def test_the_penalty_is_alpha_times_the_inner_product() -> None:
    victim, data = Victim(), draw(20, seed=1)
    old, objective = victim.head.weight.detach().clone(), Shift(victim.head, alpha=0.3)
    reinitialise(victim.head, torch.Generator().manual_seed(0))
    found = objective.loss(victim, data.floats, data.labels, 0.0)
    expected = F.cross_entropy(victim(data.floats), data.labels) + 0.3 * torch.sum(victim.head.weight * old)
    torch.testing.assert_close(found, expected)


# --- I-BAU -------------------------------------------------------------------------------------------


def quadratic(iterations: int, rate: float = 0.3) -> tuple[Tensor, Tensor]:
    """The hypergradient found for a quadratic inner problem, and the one got by solving that problem outright."""
    draws = torch.Generator().manual_seed(0)
    root, mixing, goal, pull = (torch.randn(4, 4, generator=draws).double() for _ in range(4))
    curvature = root @ root.T / 4 + torch.eye(4).double()
    weights = torch.randn(4, generator=draws).double().requires_grad_()

    def inner(point: Tensor) -> Tensor:
        return point @ curvature @ point / 2 - point @ mixing @ weights

    def outer(point: Tensor) -> Tensor:
        return (goal @ point - weights).square().sum() + (pull @ weights).sum()

    solution = torch.linalg.solve(curvature, mixing @ weights)
    (expected,) = torch.autograd.grad(outer(solution), weights)
    (found,) = hypergradient(inner, outer, solution, [weights], rate=rate, iterations=iterations)
    return found, expected


def test_the_hypergradient_is_that_of_the_solved_inner_problem() -> None:
    torch.testing.assert_close(*quadratic(iterations=200))


def test_every_fixed_point_iteration_adds_a_term_of_the_neumann_series() -> None:
    errors = [float((found - expected).norm()) for found, expected in map(quadratic, (1, 3, 9, 27))]
    assert errors[0] > errors[1] > errors[2] > errors[3] > 0


def test_a_weight_that_only_one_of_the_losses_knows_has_a_gradient_all_the_same() -> None:
    only_inner, only_outer, neither = (torch.ones(1, requires_grad=True) for _ in range(3))
    gradients = hypergradient(
        lambda point: (point - only_inner).square().sum() / 2,
        lambda point: (3 * point * only_outer).sum(),
        torch.ones(1),
        [only_inner, only_outer, neither],
        rate=0.5,
        iterations=60,
    )
    assert [round(float(gradient), 4) for gradient in gradients] == [3, 3, 0]


def test_the_universal_perturbation_is_the_trigger() -> None:
    data = draw(60, seed=1)
    defense, victim = IBAU(inner_steps=10, radius=3.0, inner_rate=1), Victim()
    shift = defense._perturbation(victim, data, 20, context())[0].flatten()
    assert int(shift.argmax()) == TRIGGER
    assert float(shift.norm()) <= 3.0001
    moved = (data.floats.flatten(1) + shift).view_as(data.floats)
    assert accuracy(victim, moved, torch.full_like(data.labels, TARGET)) > 0.95


# --- SAU ---------------------------------------------------------------------------------------------


def test_the_shared_loss_counts_only_where_the_backdoored_network_errs() -> None:
    logits = torch.tensor([[2.0, 1.0, 0.0], [0.0, 3.0, 1.0], [1.0, 1.0, 4.0]])
    led, labels = torch.tensor([0, 1, 2]), torch.tensor([0, 2, 1])
    probabilities = logits.softmax(1)
    expected = -((1 - probabilities[1, 1]).log() + (1 - probabilities[2, 2]).log()) / 3
    torch.testing.assert_close(shared_loss(logits, led, labels), expected)


def test_the_shared_loss_stays_finite_where_the_network_is_sure() -> None:
    logits = torch.tensor([[200.0, 0.0, 0.0]], requires_grad=True)
    loss = shared_loss(logits, torch.tensor([0]), torch.tensor([1]))
    (gradient,) = torch.autograd.grad(loss, logits)
    torch.testing.assert_close(loss.detach(), torch.tensor(200.0) - torch.tensor(2.0).log())
    torch.testing.assert_close(gradient, torch.tensor([[1.0, -0.5, -0.5]]))


def test_the_divergence_is_jensen_and_shannon_s() -> None:
    logits = torch.randn(2, 7, 4, generator=torch.Generator().manual_seed(0)) * 3
    one, other = logits.softmax(2)
    middle = (one + other) / 2
    expected = sum((side * (side / middle).log()).sum(1) for side in (one, other))
    torch.testing.assert_close(divergence(*logits), expected / 2 * torch.ones(7))
    assert float(divergence(logits[0], logits[0]).abs().max()) < 1e-6


def test_an_example_stays_within_epsilon_and_leads_both_networks_to_one_wrong_class() -> None:
    data, before, other = draw(30, seed=1), Victim(), Victim()
    with torch.no_grad():  # the other network has a second trigger, which the first does not share
        other.get_parameter("body.1.weight")[0, TRIGGER - 1] = 1.5
    agreed = []
    for weight in (0.0, 1.0):
        defense = SAU(epsilon=0.9, step=0.9, shared_weight=weight)
        found = defense._examples(other, before, data.floats, data.labels, context())
        assert float((found - data.floats).abs().max()) <= 0.9 + 1e-6
        assert 0 <= float(found.min()) <= float(found.max()) <= 1
        taken, led = (model(found).argmax(1) for model in (other, before))
        agreed.append(float(((taken == led) & (led != data.labels)).float().mean()))
    assert agreed[1] > 0.6
    assert agreed[1] > agreed[0]


def test_the_share_of_shared_examples_is_noted_and_falls() -> None:
    notes = context()
    SAU(rounds=10, learning_rate=0.03, epsilon=0.5).repair(Victim(), Known(draw(60, seed=1)), notes)
    shares = notes.diagnostics["shared_examples"]
    assert len(shares) == 10
    assert 1 >= shares[0] > shares[-1] >= 0
