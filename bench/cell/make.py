"""Make a stage of any sort. A new sort of stage is entered here with the function that makes it."""

from collections.abc import Callable
from typing import Any

from bench.cell.defend import make_cell
from bench.cell.imported import make_imported
from bench.cell.natural import make_natural
from bench.cell.victim import make_victim
from bench.cell.workshop import Workshop
from bench.plan.stages import CellStage, ImportedVictim, NaturalStage, Stage, VictimStage
from bench.records import LogLines

_FUNCTIONS: dict[type[Any], Callable[[Any, Workshop], LogLines]] = {
    VictimStage: make_victim,
    ImportedVictim: make_imported,
    CellStage: make_cell,
    NaturalStage: make_natural,
}


def make(stage: Stage, workshop: Workshop) -> LogLines:
    """Make a stage and put it into the store. Returns what its plugin logged. Raises whatever the plugin raises."""
    return _FUNCTIONS[type(stage)](stage, workshop)
