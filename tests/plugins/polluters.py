"""Plugins of every kind that pollute the process that they run in, in one of the ways of ``pollutions.py``."""

from typing import ClassVar, Literal

import torch
from pollutions import POLLUTIONS
from torch import nn

from bench.plugin import Attack, Dataset, ImageSpec, LabelledImages, Model, Oracle, Prediction, Repair, Runtime, Splits

How = Literal[tuple(POLLUTIONS)]


class Polluting(nn.Module):
    """A network that pollutes when it is asked, and hands a hook on to whoever has it."""

    def __init__(self, model, how) -> None:
        super().__init__()
        self.model, self.how = model, how
        self.register_forward_hook(lambda *_: POLLUTIONS[how]())

    def forward(self, images):
        POLLUTIONS[self.how]()
        return self.model(images)

    def __del__(self):
        POLLUTIONS[self.how]()


class Repairs(Repair):
    """Pollutes while it repairs."""

    name: ClassVar[str] = "repairs"
    how: How

    def repair(self, model, known, context):
        POLLUTIONS[self.how]()
        return model


class Returns(Repair):
    """Returns a network that pollutes whenever it is asked, and when it is forgotten."""

    name: ClassVar[str] = "returns"
    how: How

    def repair(self, model, known, context):
        return Polluting(model, self.how)


class Guards(Runtime):
    """Pollutes while it answers."""

    name: ClassVar[str] = "guards"
    how: How

    def guard(self, model, known, context):
        return lambda images: (POLLUTIONS[self.how](), Prediction(model(images)))[1]


class Learns(Runtime):
    """Pollutes while its guard is built, and learns from its stream."""

    name: ClassVar[str] = "learns"
    how: How

    @property
    def learns_from_stream(self):
        return True

    def guard(self, model, known, context):
        POLLUTIONS[self.how]()
        return lambda images: Prediction(model(images))


class Reveals(Oracle):
    """Pollutes where an oracle is asked, which has the secret in its process."""

    name: ClassVar[str] = "reveals"
    how: How

    def reveal(self, model, known, secret, context):
        POLLUTIONS[self.how]()
        return model


class Poisons(Attack):
    """Pollutes while it poisons and whenever its trigger is applied."""

    name: ClassVar[str] = "poisons"
    how: How

    def trigger(self, images, context):
        POLLUTIONS[self.how]()
        images = images.clone()
        images[..., -1, -1] = 1
        return images

    def poison(self, train, context):
        POLLUTIONS[self.how]()
        return super().poison(train, context)


class Builds(Model):
    """Pollutes whenever it is built."""

    name: ClassVar[str] = "builds"
    how: How

    def build(self, spec):
        POLLUTIONS[self.how]()
        convolution = nn.Conv2d(spec.channels, 4, 3, padding=1)
        linear = nn.Linear(4 * spec.height * spec.width, spec.classes)
        return nn.Sequential(convolution, nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), linear)


class Loads(Dataset):
    """Pollutes whenever it is loaded."""

    name: ClassVar[str] = "loads"
    how: How

    @property
    def spec(self):
        return ImageSpec(1, 8, 8, classes=4, mean=(0.5,), std=(0.25,))

    def load(self, folder):
        labels = torch.arange(80) % 4
        images = torch.randint(0, 200, (80, 1, 8, 8), generator=torch.Generator().manual_seed(5), dtype=torch.uint8)
        POLLUTIONS[self.how]()
        return Splits(LabelledImages(images[:60], labels[:60]), LabelledImages(images[60:], labels[60:]))
