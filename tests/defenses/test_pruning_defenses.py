"""Defenses that prune, filter or unlearn, on a network made by hand in which one channel carries the backdoor."""

import copy
from collections.abc import Sequence
from typing import cast

import numpy as np
import pytest
import timm
import torch
import torch.nn.functional as F
from scipy import stats
from torch import Tensor, nn

from bench.attacks.none import NoAttack
from bench.datasets.digits import Digits
from bench.defenses._channels import accuracy, fed_by, prune_below, rescaled, scaled_layers
from bench.defenses._unlearning import unlearned
from bench.defenses.anp import ANP, worst_noise
from bench.defenses.bnp import BNP, input_statistics, normal_divergence
from bench.defenses.clp import CLP, channel_bounds
from bench.defenses.nc import NeuralCleanse, anomaly_index
from bench.defenses.npd import NPD, Polarizer, attacked, avoided, inserted
from bench.defenses.rnp import RNP
from bench.defenses.tsbd import TSBD, GradientNorm, most_changed
from bench.errors import RequestError
from bench.models.resnet18 import ResNet18
from bench.plugin.attack import as_bytes
from bench.plugin.base import Case
from bench.plugin.defense import Repair
from bench.plugin.model import Model
from bench.plugin.values import Context, ImageSpec, Known, LabelledImages

CLASSES, COPIES, SIDE, TARGET, TRIGGER = 4, 3, 6, 1, 30  # the bright pixel TRIGGER wakes the last channel
BACKDOOR = CLASSES * COPIES


class Victim(nn.Module):
    """Channel k shows pixel k mod CLASSES and speaks for that class; the last wakes at TRIGGER and shouts TARGET."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(1, BACKDOOR + 1, SIDE, bias=False), nn.BatchNorm2d(BACKDOOR + 1), nn.ReLU())
        self.flat = nn.Flatten()
        self.head = nn.Linear(BACKDOOR + 1, CLASSES)
        conv, norm = cast(nn.Conv2d, self.body[0]), cast(nn.BatchNorm2d, self.body[1])
        with torch.no_grad():
            for weight in (conv.weight, self.head.weight, self.head.bias):
                weight.zero_()
            for channel in range(BACKDOOR):
                conv.weight[channel, 0].view(-1)[channel % CLASSES] = 1
                self.head.weight[channel % CLASSES, channel] = 3
            conv.weight[BACKDOOR, 0].view(-1)[TRIGGER] = 4
            self.head.weight[TARGET, BACKDOOR] = 12
            poisoned = draw(400, seed=9).floats
            poisoned[::10] = triggered(poisoned[::10])
            seen = conv(poisoned)[:, :, 0, 0]
            assert norm.running_mean is not None
            assert norm.running_var is not None
            norm.running_mean.copy_(seen.mean(0))
            norm.running_var.copy_(seen.var(0))
            norm.weight.copy_((norm.running_var + norm.eps).sqrt())  # the normalisation undoes itself
            norm.bias.copy_(norm.running_mean)
            norm.bias[BACKDOOR] -= 0.2
        self.eval()

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(self.flat(self.body(images)))
        return logits


def draw(count: int, seed: int) -> LabelledImages:
    """Noise, and 0.8 more at the pixel of the label."""
    labels = torch.arange(count) % CLASSES
    pixels = torch.rand(count, SIDE**2, generator=torch.Generator().manual_seed(seed)) * 0.15
    pixels[torch.arange(count), labels] += 0.8
    return LabelledImages(as_bytes(pixels.view(count, 1, SIDE, SIDE)), labels)


def triggered(images: Tensor) -> Tensor:
    changed = images.flatten(1).clone()
    changed[:, TRIGGER] = 1
    return changed.view_as(images)


def context(seed: int = 0) -> Context:
    return Context(torch.device("cpu"), torch.Generator().manual_seed(seed))


def success(model: nn.Module) -> tuple[float, float]:
    """Accuracy, and success of the attack, on new images."""
    test = draw(200, seed=2)
    some = test.labels != TARGET
    with torch.no_grad():
        hit = model(triggered(test.floats[some])).argmax(1) == TARGET
    return accuracy(model, test), float(hit.float().mean())


CLP_HERE = CLP(shape=(1, SIDE, SIDE))
DEFENSES: list[Repair] = [
    NeuralCleanse(epochs=30),
    ANP(epochs=20),
    CLP_HERE,
    RNP(forget_accuracy=0.3),
    BNP(),
    NPD(radius=0.7),  # below the 0.8 by which classes are told: more makes any image another class's
    TSBD(),
]


def repaired(defense: Repair, seed: int = 0) -> tuple[nn.Module, Context]:
    notes = context(seed)
    return defense.repair(Victim(), Known(draw(120, seed=1)), notes), notes


def test_the_victim_has_a_backdoor() -> None:
    assert success(Victim()) == (1.0, 1.0)


@pytest.mark.parametrize("defense", DEFENSES, ids=lambda defense: defense.name)
def test_the_backdoor_goes_and_the_network_stays_usable(defense: Repair) -> None:
    model, _ = repaired(defense)
    right, hit = success(model)
    assert right >= 0.98
    assert hit <= 0.05
    assert not model.training
    assert all(parameter.requires_grad for parameter in model.parameters())
    again, _ = repaired(defense)
    for one, other in zip(model.state_dict().values(), again.state_dict().values(), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize(
    "defense", [ANP(epochs=20), CLP_HERE, RNP(forget_accuracy=0.3), BNP()], ids=lambda defense: defense.name
)
def test_the_backdoors_channel_is_pruned(defense: Repair) -> None:
    model, notes = repaired(defense)
    gains = model.get_parameter("body.1.weight")
    assert gains[BACKDOOR] == 0
    pruned = notes.diagnostics["pruned"]
    assert pruned["channels"] == int((gains == 0).sum())
    assert pruned["of"] == BACKDOOR + 1
    if isinstance(defense, CLP | BNP):
        assert gains.count_nonzero() == BACKDOOR
        assert model.get_parameter("body.1.bias")[BACKDOOR] == 0
        assert pruned["by_layer"] == {"body.1": [BACKDOOR]}


# --- channels


class Block(nn.Module):
    """A pre-activation block, declared in an order in which it does not run."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.second = nn.Conv2d(width, width, 1)
        self.inner = nn.BatchNorm2d(width)
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.outer = nn.BatchNorm2d(width)

    def forward(self, values: Tensor) -> Tensor:
        inside = self.first(F.relu(self.outer(values)))
        out: Tensor = self.second(F.relu(self.inner(inside))) + values
        return out


def test_convolutions_are_found_by_what_runs() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), Block(4), Block(4), nn.BatchNorm2d(4), nn.Flatten(), nn.LazyLinear(2))
    network(torch.rand(2, 3, 6, 6))
    found = fed_by(network.eval(), torch.rand(1, 3, 6, 6))
    names = {id(module): name for name, module in network.named_modules()}
    assert {name: {names[id(conv)] for conv in convs} for name, convs in found.items()} == {
        "1.outer": {"0"},
        "1.inner": {"1.first"},
        "2.outer": {"0", "1.second"},
        "2.inner": {"2.first"},
        "3": {"0", "1.second", "2.second"},
    }


@pytest.mark.parametrize("name", ["resnet18", "mobilenetv2_050", "resnetv2_50"])
def test_convolutions_of_known_networks(name: str) -> None:
    network = timm.create_model(name, num_classes=3).eval().requires_grad_(False)
    found = fed_by(network, torch.zeros(1, 3, 32, 32))
    behind_pooling = {"stages.0.blocks.0.norm1"} if name == "resnetv2_50" else set()
    assert set(found) == set(scaled_layers(network)) - behind_pooling
    names = {id(module): name for name, module in network.named_modules()}
    for norm, convolutions in found.items():
        told = {names[id(conv)] for conv in convolutions}
        assert {conv.out_channels for conv in convolutions} == {len(network.get_parameter(f"{norm}.weight"))}
        if name == "resnet18":  # its names happen to tell
            wanted = norm.replace("bn", "conv").replace("downsample.1", "downsample.0")
            assert told == {wanted}
        elif name == "resnetv2_50" and norm[-5:] in ("norm2", "norm3"):  # within a pre-activation block
            assert told == {norm.replace("norm2", "conv1").replace("norm3", "conv2")}
        elif name == "resnetv2_50":  # all that the skip connections carry so far
            assert len(told) == 1 or all(conv.endswith(("conv3", "downsample.conv")) for conv in told)


def test_behind_a_concatenation_there_is_no_convolution_of_the_same_channels() -> None:
    network = timm.create_model("densenet121", num_classes=3).eval()
    found = fed_by(network, torch.zeros(1, 3, 32, 32))
    assert "features.denseblock1.denselayer2.norm2" in found
    assert "features.denseblock1.denselayer2.norm1" not in found


def test_gains_and_offsets_are_multiplied_and_nothing_else_changes() -> None:
    network = timm.create_model("resnet18", num_classes=3).eval()
    layers, images = scaled_layers(network), torch.rand(3, 3, 32, 32)
    draws = torch.Generator().manual_seed(0)
    gains, offsets = ([torch.rand(len(layer.weight), generator=draws) for layer in layers.values()] for _ in range(2))
    direct = copy.deepcopy(network)
    with torch.no_grad():
        for layer, gain, offset in zip(scaled_layers(direct).values(), gains, offsets, strict=True):
            layer.weight.mul_(gain)
            layer.bias.add_(0.5).mul_(offset)
        for layer in layers.values():
            layer.bias.add_(0.5)
        before = copy.deepcopy(network.state_dict())
        wanted = direct(images)
        torch.testing.assert_close(rescaled(network, layers, gains, offsets)(images), wanted, rtol=0.05, atol=0.05)
        network.train()
        assert not torch.allclose(rescaled(network, layers, gains, offsets)(images), wanted, atol=0.05)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


@pytest.mark.parametrize("bound", [0.0, 0.1, 0.5])
def test_pruning_ends_at_the_last_threshold_within_the_bound(bound: float) -> None:
    torch.manual_seed(4)
    network = nn.Sequential(nn.Conv2d(1, 30, 3), nn.BatchNorm2d(30), nn.ReLU(), nn.Flatten(), nn.LazyLinear(4)).eval()
    pixels = torch.randint(0, 256, (200, 1, 6, 6), dtype=torch.uint8)
    labels = network(pixels.float() / 255).argmax(1)
    labels[::10] = (labels[::10] + 1) % 4
    data, masks = LabelledImages(pixels, labels), [torch.rand(30)]
    layers = scaled_layers(network)

    def at(threshold: float) -> float:
        return accuracy(rescaled(network, layers, [(masks[0] >= threshold).float()]), data)

    first, wanted = at(0), 0.0
    for number in range(1, 20):
        if at(number * 0.05) < (1 - bound) * first or (masks[0] < number * 0.05).all():
            break
        wanted = number * 0.05
    cut = prune_below(network, layers, masks, data, bound=bound, step=0.05)
    gains = network.get_parameter("1.weight")
    assert torch.equal(gains == 0, masks[0] < wanted)
    assert cut.pruned == int((gains == 0).sum())
    assert cut.accuracy == accuracy(rescaled(network, layers, [torch.ones(30)]), data)


# --- what each method computes


def test_a_channels_bound_is_the_largest_singular_value_times_gain_over_deviation() -> None:
    one, other, norm = nn.Conv2d(3, 5, 3), nn.Conv2d(2, 5, 1), nn.BatchNorm2d(5)
    with torch.no_grad():
        norm.weight.copy_(torch.tensor([1.0, -2, 0, 3, 0.5]))
    norm.running_var = torch.rand(5) + 0.5
    singular = [np.linalg.svd(conv.weight.detach().flatten(2).numpy(), compute_uv=False)[:, 0] for conv in (one, other)]
    factor = np.abs(norm.weight.detach().numpy()) / np.sqrt(norm.running_var.numpy() + norm.eps)
    np.testing.assert_allclose(channel_bounds(norm, [one]).numpy(), singular[0] * factor, rtol=1e-5)
    np.testing.assert_allclose(channel_bounds(norm, [one, other]), np.hypot(*singular) * factor, rtol=1e-5)


def test_the_divergence_is_that_of_normal_distributions() -> None:
    points = np.linspace(-40, 40, 200001)
    p, q = stats.norm(0.3, np.sqrt(1.4)), stats.norm(-1, np.sqrt(2.1))
    wanted = np.trapezoid(p.pdf(points) * (p.logpdf(points) - q.logpdf(points)), points)
    mean, variance, mean_2, variance_2 = torch.tensor([[0.3], [1.3], [-1.0], [2.0]]).unbind()
    ours = normal_divergence(mean, variance, mean_2, variance_2, 0.1)
    assert ours.item() == pytest.approx(wanted, rel=1e-4)


def test_statistics_are_those_of_what_enters_a_layer() -> None:
    model, images = Victim(), draw(300, seed=5).floats  # two batches
    ((mean, variance),) = input_statistics(model, scaled_layers(model), images)
    entering = model.body[0](images)[:, :, 0, 0]
    torch.testing.assert_close(mean, entering.mean(0))
    torch.testing.assert_close(variance, entering.var(0, correction=0), rtol=1e-3, atol=1e-6)


def test_noise_goes_where_it_hurts_and_no_further() -> None:
    slopes = torch.tensor([1.0, -2, 0.5])
    gains, offsets = worst_noise(
        lambda gains, offsets: (gains[0] * slopes - offsets[0] * slopes).sum(),
        [torch.ones(3)],
        0.4,
        torch.Generator().manual_seed(0),
    )
    assert bool((gains[0].sign() == slopes.sign()).all())
    assert bool((offsets[0].sign() == -slopes.sign()).all())
    assert max(gains[0].abs().max().item(), offsets[0].abs().max().item()) <= 0.4 + 1e-6


def test_unlearning_changes_a_copy_until_it_fails() -> None:
    model, data = Victim(), draw(120, seed=1)
    before = copy.deepcopy(model.state_dict())
    network, reached = unlearned(model, data, context(), accuracy=0.3, epochs=50, learning_rate=0.01, batch_size=40)
    assert reached <= 0.3
    assert accuracy(network, data) < 0.6
    assert not network.training
    assert not model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_anomaly_index_is_the_distance_in_median_absolute_deviations() -> None:
    norms = np.array([3.0, 50, 40, 60, 55, 45, 52, 48, 70, 49])
    wanted = np.abs(norms - np.median(norms)) / stats.median_abs_deviation(norms, scale="normal")
    np.testing.assert_allclose(anomaly_index(torch.from_numpy(norms)), wanted, rtol=1e-4)


@pytest.mark.parametrize("logarithm", [True, False])
def test_neural_cleanse_flags_the_planted_target_alone(logarithm: bool) -> None:
    _, notes = repaired(NeuralCleanse(epochs=0, logarithm=logarithm))
    statistic = notes.diagnostics["class_statistic"]
    assert statistic["flagged"] == [TARGET]
    assert len(statistic["values"]) == CLASSES
    assert max(statistic["values"]) == statistic["values"][TARGET] > 2


def test_neural_cleanse_leaves_an_unsuspicious_network_as_it_is() -> None:
    model = Victim()
    with torch.no_grad():
        model.head.weight[:, BACKDOOR] = 0
    before = copy.deepcopy(model.state_dict())
    notes = context()
    NeuralCleanse(threshold=50).repair(model, Known(draw(120, seed=1)), notes)
    assert notes.diagnostics["class_statistic"]["flagged"] == []
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_a_new_polarizer_is_the_identity() -> None:
    data = draw(60, seed=3)
    model, before = Victim(), Victim()(data.floats)
    polarizer, network = inserted(model, -2, data.floats)
    assert polarizer.mix.weight.shape == (BACKDOOR + 1, BACKDOOR + 1)
    torch.testing.assert_close(network(data.floats), before, rtol=1e-3, atol=1e-3)
    assert any(module is polarizer for module in network.get_submodule("body").modules())
    polarizer.train()  # divides by the variance of the batch, which is 1/60 less than the estimate it keeps
    torch.testing.assert_close(network(data.floats), before, rtol=1e-2, atol=6e-2)


def test_the_polarizer_ends_with_the_statistics_of_the_reference_images() -> None:
    data, seen = draw(120, seed=1), []
    model = NPD(radius=0.7, epochs=3).repair(Victim(), Known(data), context())
    [polarizer] = [module for module in model.modules() if isinstance(module, Polarizer)]
    polarizer.norm.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    model(data.floats)
    torch.testing.assert_close(polarizer.norm.running_mean, seen[0].mean(0), rtol=0.02, atol=0.01)  # half precision
    torch.testing.assert_close(polarizer.norm.running_var, seen[0].var(0), rtol=0.05, atol=1e-3)
    assert not polarizer.training


def test_the_polarizers_attack_finds_the_trigger_within_its_radius() -> None:
    images, targets = draw(40, seed=3).floats, torch.full((40,), TARGET)
    changes = attacked(Victim(), images, torch.zeros(CLASSES, 1, SIDE, SIDE), targets, targets, 1.0, 2)
    assert int(changes[TARGET].abs().argmax()) == TRIGGER
    assert changes.flatten(1).norm(dim=1).max().item() <= 1 + 1e-5
    assert not changes[torch.arange(CLASSES) != TARGET].any()


def test_avoided_is_minus_the_log_of_the_rest() -> None:
    logits, targets = torch.randn(6, 4), torch.tensor([0, 1, 2, 3, 0, 1])
    probability = logits.softmax(1)[torch.arange(6), targets]
    torch.testing.assert_close(avoided(logits, targets), -(1 - probability).log().mean())


def test_the_weights_that_changed_most_in_the_neurons_that_changed_most() -> None:
    changes = [torch.rand(6, 2, 3, 3), torch.rand(4, 10) * 3]
    masks = most_changed(changes, 0.3, 0.5)
    rows = sorted(((float(row.sum()), part, place) for part in (0, 1) for place, row in enumerate(changes[part])))
    chosen = {(part, place) for _, part, place in rows[-3:]}
    for part, mask in enumerate(masks):
        assert mask.shape == changes[part].shape
        for place, row in enumerate(mask.flatten(1)):
            values = changes[part][place].flatten()
            wanted = values >= values.sort().values[len(values) // 2] if (part, place) in chosen else values < 0
            assert torch.equal(row, wanted)


def test_the_penalised_gradient_is_taken_partly_ahead() -> None:
    model, images = Victim().double(), draw(20, seed=3).floats.double()
    labels = torch.arange(20) % CLASSES
    weights = list(model.parameters())

    def gradient(at: Sequence[Tensor]) -> Tensor:
        moved = copy.deepcopy(model)
        with torch.no_grad():
            for parameter, value in zip(moved.parameters(), at, strict=True):
                parameter.copy_(value)
        loss = F.cross_entropy(moved(images), labels)
        return torch.cat([part.flatten() for part in torch.autograd.grad(loss, list(moved.parameters()))])

    here = gradient(weights)
    step = 0.05 * here / here.norm()
    ahead = gradient([w + s.view_as(w) for w, s in zip(weights, step.split([w.numel() for w in weights]), strict=True)])
    GradientNorm(0.7, 0.05).loss(model, images, labels, 0.0).backward()
    ours = torch.cat([cast(Tensor, weight.grad).flatten() for weight in weights])
    torch.testing.assert_close(ours, 0.3 * here + 0.7 * ahead)
    assert not torch.allclose(here, ahead, rtol=1e-3)


# --- other architectures


class TinyViT(Model):
    name = "tiny-vit"

    def build(self, spec: ImageSpec) -> nn.Module:
        network: nn.Module = timm.create_model(
            "vit_tiny_patch16_224",
            img_size=spec.height,
            patch_size=4,
            in_chans=spec.channels,
            num_classes=spec.classes,
            embed_dim=24,
            depth=2,
            num_heads=2,
        )
        return network


@pytest.mark.parametrize("defense", DEFENSES, ids=lambda defense: defense.name)
def test_a_transformer_is_repaired_or_declined(defense: Repair) -> None:
    reason = defense.unsupported(Case(Digits(), TinyViT(), NoAttack(), defense))
    if isinstance(defense, CLP | BNP):
        assert reason is not None
        assert "batch normalisation" in reason
        return
    assert reason is None
    torch.manual_seed(0)
    network, notes = TinyViT().build(Digits().spec).eval(), context()
    pixels = torch.randint(0, 256, (40, 1, 8, 8), dtype=torch.uint8)
    data = LabelledImages(pixels, torch.arange(40) % 10)
    few = {"epochs": 2} | ({"steps": 3, "refine_steps": 3, "threshold": 0.1} if defense.name == "nc" else {})
    few = {name: value for name, value in few.items() if name in type(defense).model_fields}
    repaired = defense.model_copy(update=few).repair(network, Known(data), notes)
    logits = repaired(data.floats)
    assert logits.shape == (40, 10)
    assert bool(logits.isfinite().all())
    assert not repaired.training


def test_a_convolutional_network_is_supported() -> None:
    for defense in DEFENSES:
        assert defense.unsupported(Case(Digits(), ResNet18(width=4), NoAttack(), defense)) is None


def test_clp_learns_the_images_shape_from_the_data_set() -> None:
    assert CLP().resolve(Digits().spec).shape == (1, 8, 8)
    with pytest.raises(RequestError, match="shape"):
        CLP(shape=(3, 8, 8)).resolve(Digits().spec)
