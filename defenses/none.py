"""No defense at all: the control column, the victim as it was trained."""

from typing import ClassVar

from torch import nn

from bench.plugin import Context, Knowledge, Known, Repair


class NoDefense(Repair):
    name: ClassVar[str] = "none"
    source: ClassVar[str] = "control"
    knowledge: ClassVar[Knowledge] = "none"
    changes_nothing: ClassVar[bool] = True

    def repair(self, model: nn.Module, known: Known, context: Context) -> nn.Module:
        return model
