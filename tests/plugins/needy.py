"""A defense with a parameter that has no default."""

from typing import ClassVar

from bench import Repair


class Needy(Repair):
    """Needs a number and does nothing."""

    name: ClassVar[str] = "needy"
    n: int
    m: int = 2

    def repair(self, model, known, context):
        return model
