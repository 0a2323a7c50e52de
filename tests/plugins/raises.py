"""A defense that fails."""

from typing import ClassVar

from bench import Repair


class Raises(Repair):
    """Raises RuntimeError."""

    name: ClassVar[str] = "raises"

    def repair(self, model, known, context):
        raise RuntimeError("broken")
