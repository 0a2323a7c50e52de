"""Every defense on a vision transformer and on a pre-activation network: it works, or says why it does not."""

import math
from types import SimpleNamespace

import pytest
import torch
from planted import rising
from small_networks import tiny_vit
from torch import nn

from bench.attacks.none import NoAttack
from bench.plan.registry import Registry
from bench.plugin import Case, ImageSpec, Known, LabelledImages, Oracle, Repair

REGISTRY = Registry()
SPEC = ImageSpec(1, 16, 16, classes=5, mean=(0.5,), std=(0.25,))
NAMES = [
    entry.name
    for entry in REGISTRY.entries("defense")
    if entry.origin == "built-in" and not issubclass(REGISTRY.load("defense", entry.name), Oracle)
]
ON_A_TRANSFORMER = {"none", "tac", "fire", "ft", "ft_sam", "sau", "i_bau", "nc", "strip"}  # that must work there
FASTER = {
    "anp": {"epochs": 20},
    "bna": {"steps": 20, "refine_steps": 10},
    "i_bau": {"rounds": 1},
    "nc": {"steps": 20, "refine_steps": 20},
    "npd": {"epochs": 5},
    "sau": {"rounds": 2},
    "tac": {"controls": 1, "epochs": 3},
    "tsbd": {"epochs": 8},
}
GENTLER = {  # so small a ViT needs small steps, and not the usual 20 epochs of them
    "ft_sam": {"rho": 0.1, "learning_rate": 0.001, "epochs": 8},
    "nad": {"learning_rate": 0.001, "epochs": 8},
}
PARAMETERS = FASTER | GENTLER


class Block(nn.Module):
    """Norm, ReLU and convolution, twice and in this order, with a shortcut: He et al., ECCV 2016."""

    def __init__(self, before, width) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.BatchNorm2d(before),
            nn.ReLU(),
            nn.Conv2d(before, width, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1, bias=False),
        )
        self.short = nn.Conv2d(before, width, 1, stride=2, bias=False)

    def forward(self, x):
        return self.body(x) + self.short(x)


class PreActivation(nn.Module):
    def __init__(self, widths=(8, 16)) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, widths[0], 3, padding=1, bias=False)
        self.blocks = nn.ModuleList(Block(*pair) for pair in zip((widths[0], *widths[:-1]), widths, strict=True))
        self.norm, self.head = nn.BatchNorm2d(widths[-1]), nn.Linear(widths[-1], SPEC.classes)

    def forward(self, images):
        x = self.stem(images)
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x).relu().mean((2, 3)))


def build(architecture: str) -> nn.Module:
    torch.manual_seed(0)
    if architecture == "pre-activation":
        return PreActivation()
    return tiny_vit(SPEC)


BRIGHT_QUARTERS = [[(0, 0)], [(0, 1)], [(1, 0)], [(1, 1)], []]  # of each class; the last one has none


def quarters(count: int, seed: int) -> LabelledImages:
    """Images in which each class has a bright quarter of its own, or none, among noise."""
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.randint(0, 120, (count, 1, 16, 16), generator=generator, dtype=torch.uint8)
    labels = torch.arange(count) % SPEC.classes
    for number, label in enumerate(labels.tolist()):
        for row, column in BRIGHT_QUARTERS[label]:
            pixels[number, 0, 8 * row + 1 : 8 * row + 7, 8 * column + 1 : 8 * column + 7] += 130
    return LabelledImages(pixels, labels)


@pytest.fixture(scope="module", params=["transformer", "pre-activation"])
def trained(request):
    model, data = build(request.param).train(), quarters(400, 0)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.003)
    generator = torch.Generator().manual_seed(0)
    for index in torch.cat([torch.randperm(400, generator=generator) for _ in range(20)]).split(40):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(data.at(index).floats), data.labels[index]).backward()
        optimizer.step()
    test = quarters(60, 3)
    assert (model.eval()(test.floats).argmax(1) == test.labels).float().mean() > 0.9
    return request.param, model.state_dict()


@pytest.mark.parametrize("name", NAMES)
def test_a_defense_works_or_says_why_not(name, trained):
    architecture, state = trained
    model = build(architecture).eval()
    model.load_state_dict(state)
    defense = REGISTRY.create("defense", name, PARAMETERS.get(name, {})).resolve(SPEC)
    architectures = SimpleNamespace(kind=architecture, build=lambda spec: build(architecture))
    reason = defense.unsupported(Case(SimpleNamespace(spec=SPEC), architectures, NoAttack(), defense))
    if reason is not None:
        assert architecture == "transformer", reason
        assert name not in ON_A_TRANSFORMER, reason
        assert len(reason) > 20, "a reason in words"
        return
    suspects = quarters(30, 2).floats.clone()
    suspects[:, :, -3:, -3:] = 1
    known = Known(quarters(100, 1), suspects if defense.knowledge == "suspects" else None)
    test = quarters(60, 3)
    if isinstance(defense, Repair):
        logits = defense.repair(model, known, rising()[0]).eval()(test.floats)
    else:
        logits = defense.guard(model, known, rising()[0])(test.floats).logits
    assert logits.shape == (60, SPEC.classes)
    assert math.isfinite(float(logits.detach().abs().sum()))
    assert float((logits.argmax(1) == test.labels).float().mean()) > 2 / SPEC.classes  # it still classifies
