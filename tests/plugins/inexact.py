"""A defense that uses an operation without a deterministic algorithm."""

from typing import ClassVar

import torch

from bench import Repair


class Inexact(Repair):
    """Writes twice to one element: which value stays is not defined."""

    name: ClassVar[str] = "inexact"

    def repair(self, model, known, context):
        context.note("exact", torch.are_deterministic_algorithms_enabled())
        torch.zeros(2).put_(torch.tensor([1, 1]), torch.ones(2))
        return model
