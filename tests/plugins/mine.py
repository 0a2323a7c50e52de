"""A defense of one file, as a user writes it."""

from typing import ClassVar

from pydantic import Field

from bench import Repair


class Mine(Repair):
    """Leaves everything as it is."""

    name: ClassVar[str] = "mine"
    strength: float = Field(1.0, gt=0, le=2)

    def repair(self, model, known, context):
        return model
