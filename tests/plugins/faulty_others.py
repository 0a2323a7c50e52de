"""Attacks, models and data sets with one mistake each: ``breaks`` and ``entails`` are the properties that they lack."""

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from bench.plugin import (
    Attack,
    AttackContext,
    Dataset,
    ImageSpec,
    LabelledImages,
    Model,
    Poisoned,
    Splits,
)


class White(Attack):
    """An attack that lacks nothing: two white rows."""

    name: ClassVar[str] = "white"
    source: ClassVar[str] = "a test's own"
    breaks: ClassVar[str] = ""
    entails: ClassVar[tuple[str, ...]] = ()

    def trigger(self, images: Tensor, context: AttackContext) -> Tensor:
        triggered = images.clone()
        triggered[:, :, :2] = 1
        return triggered


class TooBright(White):
    """An attack whose trigger is no image."""

    breaks = "trigger"
    entails = ("batch-sizes", "grey", "two-classes", "hundred-classes", "missing-class")

    def trigger(self, images: Tensor, context: AttackContext) -> Tensor:
        return images + 0.5

    def poison(self, train: LabelledImages, context: AttackContext) -> Poisoned:
        bright = White().resolve(context.spec)
        return bright.poison(train, context)


class WritesInPlace(White):
    """An attack that writes into the images that it is given."""

    breaks = "pure"

    def trigger(self, images: Tensor, context: AttackContext) -> Tensor:
        images[:, :, :2] = 1
        return images


class ByBatch(White):
    """An attack whose trigger is as bright as the batch."""

    breaks = "batch-sizes"

    def trigger(self, images: Tensor, context: AttackContext) -> Tensor:
        triggered = images.clone()
        triggered[:, :, :2] = images.mean()
        return triggered


class WrongTarget(White):
    """An attack that leads to a class that there is not."""

    breaks = "target"
    entails = ("poison",)

    def target(self, labels: Tensor) -> Tensor:
        return torch.full_like(labels, int(self.classes or 0) + 1)

    def poison(self, train: LabelledImages, context: AttackContext) -> Poisoned:
        return White().resolve(context.spec).poison(train, context)


class Unmarked(White):
    """An attack that changes more images than it says."""

    breaks = "poison"

    def poison(self, train: LabelledImages, context: AttackContext) -> Poisoned:
        made = super().poison(train, context)
        made.data.images[~made.poisoned, :, 0, 0] = 255
        return made


class Small(Model):
    """A model that lacks nothing: a linear layer on the pixels."""

    name: ClassVar[str] = "small"
    source: ClassVar[str] = "a test's own"
    breaks: ClassVar[str] = ""
    entails: ClassVar[tuple[str, ...]] = ()

    def build(self, spec: ImageSpec) -> nn.Module:
        return nn.Sequential(nn.Flatten(), nn.Linear(spec.channels * spec.height * spec.width, spec.classes))


class Probabilities(Small):
    """A model whose logits are a list of two."""

    breaks = "logits"
    entails = ("grey", "larger", "two-classes", "hundred-classes")

    def build(self, spec: ImageSpec) -> nn.Module:
        return nn.Sequential(super().build(ImageSpec(*spec.shape, spec.classes + 1, spec.mean, spec.std)))


class Restless(Small):
    """A model that is random in eval mode."""

    breaks = "eval"
    entails = ("storable",)

    def build(self, spec: ImageSpec) -> nn.Module:
        class Noise(nn.Module):
            def forward(self, logits: Tensor) -> Tensor:
                return logits + torch.rand_like(logits)

        return nn.Sequential(super().build(spec), Noise())


class Dead(Small):
    """A model with a layer that nothing goes through."""

    breaks = "gradients"
    entails = ("grey", "larger", "two-classes", "hundred-classes")

    def build(self, spec: ImageSpec) -> nn.Module:
        made = super().build(spec)
        made[1].spare = nn.Linear(2, 2)  # type: ignore[index]
        return made


class Unseeded(Small):
    """A model whose weights are always the same."""

    breaks = "initialisation"
    entails = ("two-classes",)

    def build(self, spec: ImageSpec) -> nn.Module:
        made = super().build(spec)
        for value in made.parameters():
            nn.init.constant_(value, 0.01)
        return made


class Hidden(Small):
    """A model with a tensor that no state_dict holds."""

    breaks = "storable"

    def build(self, spec: ImageSpec) -> nn.Module:
        class Shift(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.shift = torch.rand(spec.classes)

            def forward(self, logits: Tensor) -> Tensor:
                return logits + self.shift

        return nn.Sequential(super().build(spec), Shift())


class Dots(Dataset):
    """A data set that lacks nothing."""

    name: ClassVar[str] = "dots"
    source: ClassVar[str] = "a test's own"
    breaks: ClassVar[str] = ""
    entails: ClassVar[tuple[str, ...]] = ()
    loads: ClassVar[list[int]] = []

    @property
    def spec(self) -> ImageSpec:
        return ImageSpec(1, 8, 8, classes=4, mean=(0.5,), std=(0.3,))

    def load(self, folder: Any) -> Splits:
        return Splits(dots(40, 0), dots(20, 1))


class AnotherClass(Dots):
    """A data set with a label that its spec does not have."""

    breaks = "splits"

    def load(self, folder: Any) -> Splits:
        made = super().load(folder)
        made.train.labels[0] = 4
        return made


class NeverTheSame(Dots):
    """A data set that is drawn anew each time."""

    breaks = "repeats"
    entails = ("train-size",)

    def load(self, folder: Any) -> Splits:
        self.loads.append(1)
        return Splits(dots(40, len(self.loads)), dots(20, 1))


class Miscounts(Dots):
    """A data set that says another number of images than it has."""

    breaks = "count"

    def training_images(self, folder: Any) -> int:
        return 50


class Unscaled(Dots):
    """A data set whose mean is in 0..255."""

    breaks = "normalisation"

    @property
    def spec(self) -> ImageSpec:
        return ImageSpec(1, 8, 8, classes=4, mean=(127.5,), std=(76.5,))


def dots(count: int, seed: int) -> LabelledImages:
    generator = torch.Generator().manual_seed(seed)
    return LabelledImages(
        torch.randint(0, 256, (count, 1, 8, 8), generator=generator, dtype=torch.uint8), torch.arange(count) % 4
    )
