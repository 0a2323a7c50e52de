"""Guards that let inputs judge each other against the contract."""

from typing import ClassVar

import torch
from torch.nn import functional

from bench.plugin import Prediction, Runtime


class InTraining(Runtime):
    """Its network is in train mode, where the last batch normalisation cannot judge one image."""

    name: ClassVar[str] = "intraining"

    def guard(self, model, known, context):
        model.train()
        return lambda images: Prediction(model(images))


class Centres(Runtime):
    """It has batch normalisation in train mode before the network: the inputs of a batch judge each other."""

    name: ClassVar[str] = "centres"

    def guard(self, model, known, context):
        return lambda images: Prediction(model(functional.batch_norm(images, None, None, training=True)))


class LearnsUnasked(Runtime):
    """Flags its inputs by turns, and does not declare that it remembers any."""

    name: ClassVar[str] = "learnsunasked"

    def guard(self, model, known, context):
        seen = [0]

        def guarded(images):
            seen[0] += 1
            return Prediction(model(images), flagged=torch.full((len(images),), seen[0] % 2 == 0))

        return guarded
