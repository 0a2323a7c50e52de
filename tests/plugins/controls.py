"""An attack that controls the training of its victim and poisons nothing."""

from typing import ClassVar

import torch

from bench import Attack, Objective
from bench.plugin import stamp


class Counting(Objective):
    """The usual loss; remembers how many images it saw, and the shares of the training at which it was called."""

    def __init__(self):
        self.seen, self.shares = 0, []

    def loss(self, model, images, labels, share):
        self.seen += len(images)
        self.shares.append(share)
        return super().loss(model, images, labels, share)

    def learned(self):
        return {"seen": torch.tensor([self.seen]), "shares": torch.tensor([self.shares[0], self.shares[-1]])}


class Controls(Attack):
    """Brightens images by 0.3 if its objective saw any during training."""

    name: ClassVar[str] = "controls"
    controls: ClassVar[str] = "training"

    def learn(self, train, context):
        assert context.clean_model(0.1) is context.clean_model(0.1)
        assert not context.clean_model(0.1).training
        return {"train": train.images[:1].float()}

    def trigger(self, images, context):
        assert context.surrogate is None or "seen" not in context.learned
        return (images + 0.3 * (context.learned["seen"] > 0).float()).clamp(0, 1)

    def poison(self, train, context):
        nothing = train.labels[:0]
        return stamp(train, nothing, train.at(nothing).floats, nothing)

    def objective(self, model, train, context):
        return Counting()
