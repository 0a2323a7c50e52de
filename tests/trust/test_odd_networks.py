"""Every defense on networks that few have in mind: it works, or says why it cannot; it never fails."""

import math
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from planted import context
from torch import Tensor, nn

from bench.attacks.none import NoAttack
from bench.plan.registry import Registry
from bench.plugin import Case, ImageSpec, Known, LabelledImages, Oracle, Repair

REGISTRY = Registry()
SPEC = ImageSpec(1, 12, 12, classes=3, mean=(0.5,), std=(0.25,))
NAMES = [
    entry.name
    for entry in REGISTRY.entries("defense")
    if entry.origin == "built-in" and not issubclass(REGISTRY.load("defense", entry.name), Oracle)
]
QUICK = {"epochs", "forget_epochs", "teacher_epochs", "steps", "rounds", "controls", "recover_epochs", "unlearn_epochs"}
NO_LATENT = {"fine_pruning", "fire", "tsbd", "tac", "fst"}  # what works on the input of the last linear layer
RUNNING = {"bnp", "clp"}  # what reads running statistics


class Functional(nn.Module):
    """A linear layer that is no module."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.weight = nn.Conv2d(1, 4, 3, stride=2), nn.Parameter(torch.randn(3, 4))

    def forward(self, images: Tensor) -> Tensor:
        return F.linear(self.conv(images).relu().mean((2, 3)), self.weight)


class Pair(nn.Module):
    """A stage with two outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        out = self.conv(images).relu()
        return out, out.mean((2, 3))


class TwoOutputs(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.pair, self.head = Pair(), nn.Linear(4, 3)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.pair(images)[1])


class Repeated(nn.Module):
    """The same convolution and normalisation three times."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.conv = nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.norm, self.head = nn.BatchNorm2d(4), nn.Linear(4, 3)

    def forward(self, images: Tensor) -> Tensor:
        out = self.first(images)
        for _ in range(3):
            out = self.norm(self.conv(out)).relu()
        return self.head(out.mean((2, 3)))


class Tied(nn.Module):
    """Two convolutions that share their weight."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(1, 4, 3, padding=1)
        self.two.weight = self.one.weight
        self.norm, self.head = nn.BatchNorm2d(4), nn.Linear(4, 3)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.norm(self.one(images) + self.two(images)).relu().mean((2, 3)))


class OneAxis(nn.Module):
    """Convolutions along rows."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.head = nn.Conv1d(12, 6, 3), nn.BatchNorm1d(6), nn.Linear(6, 3)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.norm(self.conv(images[:, 0])).relu().mean(2))


class Listed(nn.Module):
    """Weights that belong to no layer."""

    def __init__(self) -> None:
        super().__init__()
        self.weights = nn.ParameterList([nn.Parameter(torch.randn(3, 144))])

    def forward(self, images: Tensor) -> Tensor:
        return F.linear(images.flatten(1), self.weights[0])


class Recurrent(nn.Module):
    """A layer that gives a tuple."""

    def __init__(self) -> None:
        super().__init__()
        self.rows, self.head = nn.LSTM(12, 8, batch_first=True), nn.Linear(8, 3)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.rows(images[:, 0])[0][:, -1])


def _block(norm: nn.Module, before: int = 1) -> list[nn.Module]:
    return [nn.Conv2d(before, 4, 3, padding=1), norm, nn.ReLU()]


def _pooled(*layers: nn.Module) -> nn.Module:
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())


NETWORKS = {
    "convolution at the end": lambda: _pooled(*_block(nn.BatchNorm2d(4)), nn.Conv2d(4, 3, 1)),
    "softmax at the end": lambda: nn.Sequential(_pooled(*_block(nn.BatchNorm2d(4))), nn.Linear(4, 3), nn.LogSoftmax(1)),
    "linear but no module": Functional,
    "no running statistics": lambda: nn.Sequential(
        _pooled(*_block(nn.BatchNorm2d(4, track_running_stats=False))), nn.Linear(4, 3)
    ),
    "some running statistics": lambda: nn.Sequential(
        *_block(nn.BatchNorm2d(4)), _pooled(*_block(nn.BatchNorm2d(4, track_running_stats=False), 4)), nn.Linear(4, 3)
    ),
    "no gains": lambda: nn.Sequential(_pooled(*_block(nn.BatchNorm2d(4, affine=False))), nn.Linear(4, 3)),
    "group normalisation": lambda: nn.Sequential(_pooled(*_block(nn.GroupNorm(2, 4))), nn.Linear(4, 3)),
    "instance normalisation": lambda: nn.Sequential(_pooled(*_block(nn.InstanceNorm2d(4))), nn.Linear(4, 3)),
    "no normalisation": lambda: nn.Sequential(_pooled(*_block(nn.Identity())), nn.Linear(4, 3)),
    "one linear layer": lambda: nn.Sequential(nn.Flatten(), nn.Linear(144, 3)),
    "two linear layers": lambda: nn.Sequential(nn.Flatten(), nn.Linear(144, 8), nn.ReLU(), nn.Linear(8, 3)),
    "a stage with two outputs": TwoOutputs,
    "a layer run three times": Repeated,
    "two layers of one weight": Tied,
    "one axis": OneAxis,
    "parameters in a list": Listed,
    "a recurrent layer": Recurrent,
}


def build(kind: str) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return NETWORKS[kind]().eval()


def data(count: int, seed: int) -> LabelledImages:
    draws = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % 3
    pixels = torch.randint(0, 120, (count, 1, 12, 12), generator=draws, dtype=torch.uint8)
    for label in range(3):
        pixels[labels == label, :, 4 * label : 4 * label + 4] += 120
    return LabelledImages(pixels, labels)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", NETWORKS)
def test_a_defense_works_on_an_odd_network_or_says_why_not(name, kind):
    plugin = REGISTRY.load("defense", name)
    defense = REGISTRY.create("defense", name, dict.fromkeys(QUICK & {*plugin.model_fields}, 1)).resolve(SPEC)
    models = SimpleNamespace(kind=kind, build=lambda spec: build(kind))  # its repr tells it from the models of others
    case = Case(SimpleNamespace(spec=SPEC), models, NoAttack(), defense)
    reason = defense.unsupported(case)
    if reason is not None:
        assert len(reason) > 20, "a reason in words"
        return
    no_latent = ("convolution at the end", "softmax at the end", "linear but no module", "parameters in a list")
    assert not (name in NO_LATENT and kind in no_latent)
    assert not (name in RUNNING and kind in ("no running statistics", "some running statistics", "no gains"))
    suspects = data(9, 2).floats.clone()
    suspects[:, :, -3:, -3:] = 1
    known = Known(data(48, 1), suspects if defense.knowledge == "suspects" else None)
    test = data(6, 3).floats
    if isinstance(defense, Repair):
        logits = defense.repair(build(kind), known, context()).eval()(test)
    else:
        logits = defense.guard(build(kind), known, context())(test).logits
    assert logits.shape == (6, 3)
    assert math.isfinite(float(logits.detach().abs().sum()))
