"""What plugins are tried on: small images of plain patterns, and networks that know them, with a backdoor planted.

Nothing is trained. The last layer of a random network is fitted by least squares, which takes milliseconds.
"""

from dataclasses import dataclass
from functools import cache
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.plugin.attack import Attack
from bench.plugin.dataset import Dataset
from bench.plugin.model import Model
from bench.plugin.repair import Repair
from bench.plugin.values import AttackContext, Context, ImageSpec, Known, LabelledImages, Secret, Splits
from bench.testing.networks import SmallConv, SmallTransformer
from bench.toolbox.networks import Latent

CORNER = 3  # pixels a side of the kit's own trigger
TARGET = 0


@dataclass(frozen=True)
class Sample:
    """A situation that a plugin is tried in. ``missing``: a class of which there are no reference images."""

    what: str
    channels: int = 3
    classes: int = 5
    architecture: Literal["conv", "vit"] = "conv"
    missing: int | None = None
    side: int = 16

    @property
    def spec(self) -> ImageSpec:
        half, quarter = (0.5,) * self.channels, (0.25,) * self.channels
        return ImageSpec(self.channels, self.side, self.side, self.classes, half, quarter)

    def images(self, count: int, seed: int) -> LabelledImages:
        """``count`` images, all classes in turn."""
        return _images(self.spec, count, seed)

    def train(self) -> LabelledImages:
        """Training images, at least two of a class; none of the class ``missing``."""
        data = self.images(max(60, 2 * self.classes), seed=1)
        return data if self.missing is None else data.at(data.labels != self.missing)

    def inputs(self) -> Tensor:
        """24 inputs in [0, 1], of which every second one carries the trigger."""
        images = self.images(24, seed=2).floats
        images[1::2] = triggered(images[1::2])
        return images

    def network(self, *, planted: bool = True) -> nn.Module:
        """A network in eval mode that knows the classes and, if it is ``planted``, answers the trigger."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            made = Network(architecture=self.architecture).build(self.spec)
        return _fitted(made, self, planted).eval()

    def known(self, knowledge: str, *, pairs: bool) -> Known:
        """What a defender has who declares this ``knowledge``."""
        clean = None if knowledge == "none" else self.train()
        if knowledge != "suspects":
            return Known(clean)
        originals = self.images(20, seed=3).floats
        return Known(clean, triggered(originals), originals if pairs else None)

    def secret(self) -> Secret:
        """What an oracle is told."""
        originals = self.images(20, seed=4)
        originals = originals.at(originals.labels != TARGET)
        targets = torch.full_like(originals.labels, TARGET)
        return Secret(originals, triggered(originals.floats), targets, lambda: self.network(planted=False))


BASE = Sample("colour images of 5 classes, a convolutional network")
VIT = Sample("a vision transformer", architecture="vit")
GREY = Sample("grey images", channels=1)
TWO = Sample("2 classes", classes=2)
HUNDRED = Sample("100 classes", classes=100)
MISSING = Sample("no reference image of class 3", missing=3)


def triggered(images: Tensor) -> Tensor:
    """A copy of images (N, C, H, W) with the kit's own trigger, a white corner."""
    images = images.clone()
    images[:, :, -CORNER:, -CORNER:] = 1
    return images


class Network(Model):
    """The kit's own networks."""

    name = "kit"
    architecture: Literal["conv", "vit"] = "conv"

    def build(self, spec: ImageSpec) -> nn.Module:
        return (SmallConv if self.architecture == "conv" else SmallTransformer)(spec)


class Corner(Attack):
    """The kit's own attack, in whose company a defense or a model is tried."""

    name = "kit"

    def trigger(self, images: Tensor, context: AttackContext) -> Tensor:
        return triggered(images)


class Untouched(Repair):
    """The kit's own defense, in whose company an attack or a model is tried."""

    name = "kit"
    knowledge = "none"
    changes_nothing = True

    def repair(self, model: nn.Module, known: Known, context: Context) -> nn.Module:
        return model


class Patterns(Dataset):
    """The kit's own data set, in whose company the others are tried."""

    name = "kit"
    channels: int = 3
    classes: int = 5
    side: int = 16

    @property
    def spec(self) -> ImageSpec:
        return Sample("", self.channels, self.classes, side=self.side).spec

    def load(self, folder: object) -> Splits:
        return Splits(_images(self.spec, 60, 1), _images(self.spec, 24, 2))


@cache
def _patterns(channels: int, classes: int) -> Tensor:
    """A pattern of 4x4 areas for each class, (classes, C, 4, 4) in [0.1, 0.9]."""
    draws = torch.Generator().manual_seed(classes)
    return torch.rand(classes, channels, 4, 4, generator=draws) * 0.8 + 0.1


def _images(spec: ImageSpec, count: int, seed: int) -> LabelledImages:
    labels = torch.arange(count) % spec.classes
    patterns = F.interpolate(_patterns(spec.channels, spec.classes), spec.shape[1:])
    noise = torch.rand(count, *spec.shape, generator=torch.Generator().manual_seed(seed))
    return LabelledImages((patterns[labels] * 215 + noise * 40).to(torch.uint8), labels)


@torch.no_grad()
def _fitted(model: nn.Module, sample: Sample, planted: bool) -> nn.Module:
    """``model`` with the statistics of the sample's images and a last layer that tells the classes apart."""
    data = sample.images(max(120, 6 * sample.classes), seed=5)
    clean, labels = data.floats, data.labels
    if planted:
        clean, labels = torch.cat([clean, triggered(clean)]), torch.cat([labels, torch.full_like(labels, TARGET)])
    model.train()
    for _ in range(20):
        model(clean)
    latent = Latent(model.eval(), clean)
    features = F.pad(latent.features(clean), (0, 1), value=1.0)
    wanted = 8.0 * F.one_hot(labels, sample.classes).float() - 2.0
    ridge = 1e-2 * len(features) * torch.eye(features.shape[1])
    solved = torch.linalg.solve(features.T @ features + ridge, features.T @ wanted)
    latent.linear.weight.copy_(solved[:-1].T)
    latent.linear.bias.copy_(solved[-1])
    return model
