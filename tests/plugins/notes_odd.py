"""A defense and a guard that note, log and report odd things, past the methods that would refuse them too."""

import math
from typing import ClassVar

import torch

from bench import Prediction, Repair, Runtime

CURVE = {"triggered": [1], "acc": [1.0], "asr": [0.0], "ra": [1.0]}
SAYS = {
    "nan": lambda context: context.note("x", [math.nan]),
    "forged": lambda context: context.diagnostics.update(stream_curve=CURVE),
    "broken": lambda context: context.diagnostics.update(class_statistic=[1]),
    "object": lambda context: context.diagnostics.update(x=object()),
    "numbered": lambda context: context.diagnostics.update({3: 3}),
    "short": lambda context: context.note_latent_shifts({0: torch.ones(2)}),
    "shown": lambda context: (context.log(object()), context.log("x" * 20_000_000), context.progress("all")),
}


class Odd(Repair):
    """Does one of these things, and leaves the network as it is."""

    name: ClassVar[str] = "odd"
    what: str = "shown"

    def repair(self, model, known, context):
        SAYS[self.what](context)
        return model


class Late(Runtime):
    """Notes something odd when it has been asked already."""

    name: ClassVar[str] = "late"

    def guard(self, model, known, context):
        def guarded(images):
            context.diagnostics["x"] = math.inf
            return Prediction(model(images))

        return guarded
