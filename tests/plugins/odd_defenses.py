"""Defenses that misbehave in the way ``how``: they raise what nobody expects, or give what nobody can use."""

import os
import sys
import tempfile
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from odd_raises import RAISING, Unreadable, raising
from torch import nn

from bench.plugin import Prediction, Repair, Runtime


class Raises(nn.Module):
    """A network that raises in the method ``method``."""

    def __init__(self, method):
        super().__init__()
        self.method = method

    def __getattribute__(self, name):
        if name == object.__getattribute__(self, "__dict__").get("method"):
            raise RuntimeError(f"no {name}")
        return super().__getattribute__(name)

    def forward(self, images):
        return images.flatten(1)[:, :4]


class Gives(nn.Module):
    """A network that answers with what ``change`` makes of logits (N, 4)."""

    def __init__(self, change):
        super().__init__()
        self.change = change

    def forward(self, images):
        return self.change(images.flatten(1)[:, :4])


GIVEN = {
    "nothing": None,
    "class": nn.Linear,
    "function": lambda images: images.flatten(1)[:, :4],
    "number": 3,
    "no_eval": Raises("eval"),
    "no_modules": Raises("modules"),
    "no_state": Raises("state_dict"),
    "no_parameters": Raises("named_parameters"),
    "no_forward": Raises("forward"),
    "no_training": Raises("training"),
    "one_axis": Gives(lambda logits: logits[:, 0]),
    "no_axis": Gives(lambda logits: logits.sum()),
    "narrow": Gives(lambda logits: logits[:, :2]),
    "wide": Gives(lambda logits: torch.cat([logits, logits], 1)),
    "short": Gives(lambda logits: logits[1:]),
    "transposed": Gives(lambda logits: logits.T),
    "complex": Gives(lambda logits: logits.to(torch.complex64)),
    "whole": Gives(lambda logits: logits.long()),
    "infinite": Gives(lambda logits: logits / 0),
    "meta": Gives(lambda logits: logits.to("meta")),
    "sparse": Gives(lambda logits: logits.to_sparse()),
    "pair": Gives(lambda logits: (logits, logits)),
    "table": Gives(lambda logits: {"logits": logits}),
    "numpy": Gives(lambda logits: logits.numpy()),
    "prediction": Gives(Prediction),
}  # what a defense returns for a network
GUARDS = {
    "nothing": lambda images: None,
    "tensor": lambda images: images.flatten(1)[:, :4],
    "pair": lambda images: (images.flatten(1)[:, :4], None),
    "numpy": lambda images: Prediction(np.zeros((len(images), 4), dtype=np.float32)),
    "listed": lambda images: Prediction([[0.0] * 4] * len(images)),
    "score_column": lambda images: Prediction(images.flatten(1)[:, :4], score=images.flatten(1)[:, :1]),
    "score_number": lambda images: Prediction(images.flatten(1)[:, :4], score=0.5),
    "score_nan": lambda images: Prediction(images.flatten(1)[:, :4], score=images.flatten(1)[:, 0] * float("nan")),
    "flagged_float": lambda images: Prediction(images.flatten(1)[:, :4], flagged=images.flatten(1)[:, 0]),
    "flagged_one": lambda images: Prediction(images.flatten(1)[:, :4], flagged=torch.tensor(True)),
    "stop": lambda images: RAISING["stop"](),
    "outside": lambda images: RAISING["outside"](),
}
SAID = {
    "log_object": lambda context: context.log(Unreadable()),
    "log_surrogate": lambda context: context.log("\ud800"),
    "progress_text": lambda context: context.progress("half"),
    "progress_huge": lambda context: context.progress(10**400),
    "note_object": lambda context: context.note("x", Unreadable()),
    "note_circle": lambda context: context.note("x", circle()),
    "note_keys": lambda context: context.note("x", {(1, 2): 3}),
    "note_surrogate": lambda context: context.note("\ud800", 1),
    "note_name": lambda context: context.note(3, 1),
    "note_deep": lambda context: context.note("x", nested(100_000)),
    "note_infinite": lambda context: context.note("x", [float("inf"), float("nan"), 10**5000]),
    "statistic": lambda context: context.note_class_statistic("x", [float("nan")] * 3),
    "diagnostics": lambda context: context.diagnostics.update({"shift_truth": [1], "stream_curve": [1], 3: [1]}),
}  # what it says of itself
DONE = {
    "closes_output": lambda: (sys.stdout.close(), sys.stderr.close()),
    "closes_pipes": lambda: (os.close(1), os.close(2)),
    "no_output": lambda: setattr(sys, "stdout", None),
    "no_folder": lambda: leave_no_folder(),
    "leaves": lambda: os._exit(0),
    "aborts": lambda: os.abort(),
    "interrupts": raising(KeyboardInterrupt()),
}  # what it does to its process


def circle():
    made = []
    made.append(made)
    return made


def nested(depth):
    made = []
    for _ in range(depth):
        made = [made]
    return made


class OddRepair(Repair):
    name: ClassVar[str] = "odd_repair"
    knowledge: ClassVar[str] = "none"
    how: str

    def repair(self, model, known, context):
        kind, _, which = self.how.partition(".")
        match kind:
            case "raise":
                RAISING[which]()
            case "give":
                return GIVEN[which]
            case "say":
                SAID[which](context)
            case "do":
                DONE[which]()
        return model


class OddGuard(Runtime):
    name: ClassVar[str] = "odd_guard"
    knowledge: ClassVar[str] = "none"
    how: str

    def guard(self, model, known, context):
        return GUARDS.get(self.how)


class Plain(Repair):
    """Works: the neighbour of the others."""

    name: ClassVar[str] = "plain"
    knowledge: ClassVar[str] = "none"
    n: int = 0

    def repair(self, model, known, context):
        return model


def leave_no_folder():
    folder = tempfile.mkdtemp()
    os.chdir(folder)
    Path(folder).rmdir()


WORKING = {"give.no_modules", "give.no_training", "say.log_surrogate", "say.note_surrogate", "say.note_name"} | {
    *("say.diagnostics", "do.closes_output", "do.closes_pipes", "do.no_output", "do.no_folder"),
}  # ways that do no harm
UNSEEN = {"say.progress_text", "say.progress_huge"}  # where nobody looks at the progress
